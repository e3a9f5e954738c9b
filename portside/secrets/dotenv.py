"""`file:PATH#NAME`: a dotenv file outside git, readable by its owner only."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from portside.secrets.base import MissingSecretError


class DotenvFile:
    def __init__(self, root: Path, env: str) -> None:
        self._root = root

    async def fetch(self, reference: str) -> str:
        return await asyncio.to_thread(self._read, reference)

    def _read(self, reference: str) -> str:
        from dotenv import dotenv_values  # noqa: PLC0415 - every command loads this module, few read such a file

        name, _, key = reference.partition("#")
        try:
            path = self._root / Path(name).expanduser()
        except RuntimeError as error:
            raise MissingSecretError(f"{name}: {error}") from None
        if not path.is_file():
            raise MissingSecretError(f"there is no file {name}")
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise MissingSecretError(f"{name} is readable by others: chmod 600 {name}")
        try:
            value = dotenv_values(path, interpolate=False).get(key)
        except (OSError, UnicodeDecodeError) as error:
            raise MissingSecretError(f"{name} can't be read as UTF-8: {type(error).__name__}") from None
        if not value:
            raise MissingSecretError(f"{name} has no value for {key or 'an empty key; write file:PATH#NAME'}")
        return value
