"""`bw:ITEM#FIELD`, Bitwarden's password manager, and `bws:NAME`, its Secrets Manager, through their own programs.

`bw` needs BW_SESSION (`bw unlock --raw`), `bws` needs BWS_ACCESS_TOKEN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portside.command import Result
from portside.secrets.base import MissingSecretError, Once, UnreachableSourceError, member, split
from portside.secrets.program import ask, complaint, find, parsed

BW_INSTALL = "npm install --global @bitwarden/cli"
BWS_INSTALL = "https://bitwarden.com/help/secrets-manager-cli/"
Item = Mapping[str, Any]


class PasswordManager:
    """ITEM is an id or a whole name. FIELD is password (the default), username, notes, or one's own."""

    def __init__(self, root: Path, env: str) -> None:
        self._listed = Once(self._list)

    async def fetch(self, reference: str) -> str:
        name, field = split(reference)
        found = [item for item in await self._listed("items") if name in (item["id"], item["name"])]
        if not found:
            raise MissingSecretError(f"Bitwarden has no item {name}")
        if len(found) > 1:
            raise MissingSecretError(f"Bitwarden has {len(found)} items {name}: use the id")
        return member(fields(found[0]), f"the Bitwarden item {name}", field or "password")

    async def _list(self, what: str) -> list[Item]:
        program = find("bw", BW_INSTALL)
        # `bw` answers from its own copy, which is as old as the last time somebody did this.
        _checked(await ask([program, "sync", "--nointeraction"]))
        # All at once: it takes a second to start, and `bw get item` takes a part of a name for the whole.
        items: list[Item] = parsed(_checked(await ask([program, "list", "items", "--nointeraction"])))
        return items


def _checked(result: Result) -> Result:
    if result.exit_code != 0:
        # "You are not logged in.", "Vault is locked."
        said = complaint(result)
        raise UnreachableSourceError(
            f"Bitwarden could not be asked: {said} (bw login, then BW_SESSION from bw unlock --raw)"
        )
    return result


def fields(item: Item) -> Mapping[str, object]:
    """The texts of an item as `bw` prints it: fields of its own, and those that every login has."""
    own = {field["name"]: field["value"] for field in item.get("fields") or () if field.get("name")}
    login = item.get("login") or {}
    known = {"username": login.get("username"), "password": login.get("password"), "notes": item.get("notes")}
    return {**own, **{name: value for name, value in known.items() if value is not None}}


class SecretsManager:
    """`bws secret list`, once for all: NAME is a secret's key or its id."""

    def __init__(self, root: Path, env: str) -> None:
        self._listed = Once(self._list)

    async def fetch(self, reference: str) -> str:
        found = [each for each in await self._listed("secrets") if reference in (each["key"], each["id"])]
        if not found:
            raise MissingSecretError(f"Bitwarden Secrets Manager has no {reference}")
        if len(found) > 1:
            raise MissingSecretError(f"Bitwarden Secrets Manager has {len(found)} secrets {reference}: use the id")
        return str(found[0]["value"])

    async def _list(self, what: str) -> list[Item]:
        program = find("bws", BWS_INSTALL)
        if not os.environ.get("BWS_ACCESS_TOKEN"):
            raise UnreachableSourceError("nobody is logged in to Bitwarden Secrets Manager: set BWS_ACCESS_TOKEN")
        result = await ask([program, "secret", "list", "--output", "json"])
        if result.exit_code != 0:
            # What it says of a token that is wrong is "Is the wrong version".
            raise UnreachableSourceError(
                f"Bitwarden Secrets Manager could not be asked: {complaint(result)} (is BWS_ACCESS_TOKEN right?)"
            )
        secrets: list[Item] = parsed(result)
        return secrets
