"""`sops:PATH#KEY`: a file of the repository that SOPS encrypted, with age or whatever else its .sops.yaml says.

It is decrypted once per command. SOPS finds its age keys itself: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, or its own folder
in the home directory (https://getsops.io/docs/#encrypting-using-age).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portside.secrets.base import MissingSecretError, Once, UnreachableSourceError, located, member, split
from portside.secrets.program import ask, complaint, find

INSTALL = "uv sync --group sops"
# From SOPS' cmd/sops/codes: no master key of the file could be had.
NO_KEY = 128
# SOPS asks GitHub for its newest version otherwise.
QUIET = {"SOPS_DISABLE_VERSION_CHECK": "true"}


class Sops:
    def __init__(self, root: Path, env: str) -> None:
        self._root = root
        self._decrypted = Once(self._decrypt)

    async def fetch(self, reference: str) -> str:
        name, key = split(reference)
        if not key:
            raise MissingSecretError(f"{name} needs a key: write sops:{name}#KEY")
        return dug(await self._decrypted(name), name, key)

    async def _decrypt(self, name: str) -> Mapping[str, Any]:
        path = located(self._root, name)
        if path is None:
            raise MissingSecretError(f"there is no file {name}: invoke secrets edit --file {name} makes it")
        argv = [find("sops", INSTALL), "decrypt", "--output-type", "json", str(path)]
        result = await ask(argv, cwd=self._root, env=QUIET)
        if result.exit_code == NO_KEY:
            raise UnreachableSourceError(
                f"none of your keys opens {name}: set SOPS_AGE_KEY, or SOPS_AGE_KEY_FILE, or be made one of its "
                "recipients (docs/secrets.md)"
            )
        if result.exit_code != 0:
            raise UnreachableSourceError(f"sops can't decrypt {name}: {complaint(result)}")
        decrypted: Mapping[str, Any] = json.loads(result.stdout)
        return decrypted


def dug(members: Mapping[str, Any], name: str, key: str) -> str:
    """The value of `key`, or of `outer.inner` where the file is nested. Raises MissingSecretError."""
    outer, _, inner = key.partition(".")
    nested = members.get(outer)
    if key not in members and inner and isinstance(nested, dict):
        return dug(nested, name, inner)
    return member(members, name, key)
