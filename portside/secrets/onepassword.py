"""`op://VAULT/ITEM/FIELD`: 1Password, through its own program `op`. The reference is what its apps copy.

Signed in by the desktop app, or by OP_SERVICE_ACCOUNT_TOKEN.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from portside.secrets.base import MissingSecretError, SecretError, UnreachableSourceError, text
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
            result = await ask([find("op", INSTALL), "read", "--no-newline", f"op://{path}"])
        if result.exit_code == 0:
            return text(result.stdout, f"op://{path} of 1Password")
        said = complaint(result)
        if _ABSENT.search(said):
            raise MissingSecretError(f"1Password has no op://{path}: {said}")
        raise UnreachableSourceError(f"1Password could not be asked for op://{path}: {said}")

    async def fetch_many(self, references: Sequence[str]) -> Mapping[str, str | SecretError]:
        """The first alone, since it may ask its person to unlock; then the others together."""
        first, *others = references
        answers = [await self._answer(first)]
        if not isinstance(answers[0], UnreachableSourceError):
            answers += await asyncio.gather(*map(self._answer, others))
        else:
            answers += [answers[0]] * len(others)
        return dict(zip(references, answers, strict=True))

    async def _answer(self, reference: str) -> str | SecretError:
        try:
            return await self.fetch(reference)
        except SecretError as error:
            return error
