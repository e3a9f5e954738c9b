"""How a test says that it was not run. The lab's conftest prints it in red at the end."""

from __future__ import annotations

NOT_RUN = "not run: "
# Of parts that only a registry has: said as loudly, but CI may be a machine that reaches none.
NO_IMAGE = f"{NOT_RUN}image not available"
