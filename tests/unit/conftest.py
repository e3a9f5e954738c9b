"""How many examples hypothesis takes: few by default, many with `nox -s tests -- --hypothesis-profile=thorough`."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("thorough", max_examples=3000, deadline=None)
