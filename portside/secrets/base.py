"""What a secret source is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class MissingSecretError(Exception):
    """The source has no such value. The text says where it was looked for, never a value."""


class Source(Protocol):
    """One place that keeps secrets. Made with the project's folder and the environment's name."""

    def __init__(self, root: Path, env: str) -> None: ...

    async def fetch(self, reference: str) -> str:
        """The value behind `reference` (what follows `source:` in portside.toml). Raises MissingSecretError."""
