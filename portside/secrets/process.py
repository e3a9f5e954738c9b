"""`env:NAME`: a variable of the process that runs Portside, as GitHub Environments provide them."""

from __future__ import annotations

import os
from pathlib import Path

from portside.secrets.base import MissingSecretError


class ProcessEnvironment:
    def __init__(self, root: Path, env: str) -> None:
        pass

    async def fetch(self, reference: str) -> str:
        value = os.environ.get(reference, "")
        if not value:
            raise MissingSecretError(f"the environment variable {reference} is not set")
        return value
