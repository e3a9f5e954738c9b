"""`file:PATH#NAME`: a dotenv file outside git, readable by its owner only."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from portside.secrets.base import MissingSecretError, Once, located
from portside.secrets.ignored import taken_by_git


class DotenvFile:
    def __init__(self, root: Path, env: str) -> None:
        self._root = root
        self._taken = Once(taken_by_git)

    async def fetch(self, reference: str) -> str:
        name, _, key = reference.partition("#")
        path = located(self._root, name)
        if path is None:
            raise MissingSecretError(f"there is no file {name}")
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise MissingSecretError(f"{name} is readable by others: chmod 600 {name}")
        if await self._taken(path):
            raise MissingSecretError(f"git would commit {name}: name it in .gitignore, or keep it elsewhere")
        try:
            value = await asyncio.to_thread(_read, path, key)
        except (OSError, UnicodeDecodeError) as error:
            raise MissingSecretError(f"{name} can't be read as UTF-8: {type(error).__name__}") from None
        if not value:
            raise MissingSecretError(f"{name} has no value for {key or 'an empty key; write file:PATH#NAME'}")
        return value


def _read(path: Path, key: str) -> str | None:
    from dotenv import dotenv_values  # noqa: PLC0415 - every command loads this module, few read such a file

    return dotenv_values(path, interpolate=False).get(key)
