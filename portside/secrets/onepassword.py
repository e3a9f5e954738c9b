"""`op://VAULT/ITEM/FIELD`: 1Password, through its own program `op`. The reference is what its apps copy.

Signed in by the desktop app, or by OP_SERVICE_ACCOUNT_TOKEN.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from portside.secrets.base import MissingSecretError, SecretError, UnreachableSourceError, first_alone, text
from portside.secrets.program import AT_ONCE, ask, complaint, find

INSTALL = "https://developer.1password.com/docs/cli/get-started/"
# `op` ends with 1 whatever went wrong; these are its words for something that isn't there.
_ABSENT = re.compile(
    r"isn't (an item|a vault|a field)|could not find|no item|does not have a field|no such field", re.I
)


class OnePassword:
    def __init__(self, root: Path, env: str) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, reference: str) -> str:
        path = reference.removeprefix("//")
        async with self._free:
            # Its app is unlocked for a terminal: in a session of its own each of these would ask its person again.
            argv = [find("op", INSTALL), "read", "--no-newline", f"op://{path}"]
            result = await ask(argv, terminal=True)
        if result.exit_code == 0:
            return text(result.stdout, f"op://{path} of 1Password")
        said = complaint(result)
        if _ABSENT.search(said):
            raise MissingSecretError(f"1Password has no op://{path}: {said}")
        raise UnreachableSourceError(f"1Password could not be asked for op://{path}: {said}")

    async def fetch_many(self, references: Sequence[str]) -> Mapping[str, str | SecretError]:
        return await first_alone(references, self.fetch, UnreachableSourceError)
