"""How many examples hypothesis takes: few by default, many with `nox -s tests -- --hypothesis-profile=thorough`."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says something of the machine, which may be busy, and nothing of the code.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.register_profile("thorough", settings.default, deadline=None, max_examples=3000)
settings.load_profile("unhurried")
