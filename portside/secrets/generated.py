"""`generated:NAME`: made once, kept in .portside/secrets/<env>.json, for environments that nobody shares."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from portside.secrets.base import MissingSecretError


class Generated:
    def __init__(self, root: Path, env: str) -> None:
        self._path = root / ".portside" / "secrets" / f"{env}.json"

    async def fetch(self, reference: str) -> str:
        try:
            values: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        except (OSError, ValueError) as error:
            raise MissingSecretError(f"{self._path} can't be read: {type(error).__name__}") from None
        if reference not in values:
            values[reference] = secrets.token_urlsafe(24)
            self._write(values)
        return values[reference]

    def _write(self, values: dict[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(values, file)
        new.replace(self._path)
