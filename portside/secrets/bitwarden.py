"""`bw:ITEM#FIELD`, Bitwarden's password manager, and `bws:NAME`, its Secrets Manager, through their own programs.

`bw` needs BW_SESSION (`bw unlock --raw`), `bws` needs BWS_ACCESS_TOKEN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portside.secrets.base import MissingSecretError, Once, UnreachableSourceError, member, split
from portside.secrets.program import ask, complaint, find

BW_INSTALL = "npm install --global @bitwarden/cli"
BWS_INSTALL = "https://bitwarden.com/help/secrets-manager-cli/"


class PasswordManager:
    """`bw get item ITEM`: ITEM is an id or a name. FIELD is password (the default), username, notes, or one's own."""

    def __init__(self, root: Path, env: str) -> None:
        self._item = Once(self._get)

    async def fetch(self, reference: str) -> str:
        name, field = split(reference)
        return member(fields(await self._item(name)), f"the Bitwarden item {name}", field or "password")

    async def _get(self, name: str) -> Mapping[str, Any]:
        result = await ask([find("bw", BW_INSTALL), "get", "item", name, "--nointeraction"])
        if result.exit_code == 0:
            item: Mapping[str, Any] = json.loads(result.stdout)
            return item
        said = complaint(result)
        if "not found" in said.lower() or "more than one result" in said.lower():
            raise MissingSecretError(f"Bitwarden has no one item {name}: {said}")
        raise UnreachableSourceError(f"Bitwarden could not be asked for {name}: {said}")


def fields(item: Mapping[str, Any]) -> Mapping[str, object]:
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

    async def _list(self, what: str) -> list[Mapping[str, Any]]:
        result = await ask([find("bws", BWS_INSTALL), "secret", "list", "--output", "json"])
        if result.exit_code != 0:
            raise UnreachableSourceError(f"Bitwarden Secrets Manager could not be asked: {complaint(result)}")
        secrets: list[Mapping[str, Any]] = json.loads(result.stdout)
        return secrets
