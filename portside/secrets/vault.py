"""`vault:MOUNT/PATH#KEY`: HashiCorp Vault or OpenBao, their KV engine version 2.

VAULT_ADDR and VAULT_TOKEN (or BAO_ADDR, BAO_TOKEN), or the file that `vault login` left; else an AppRole by
VAULT_ROLE_ID and VAULT_SECRET_ID. VAULT_NAMESPACE and VAULT_CACERT as for the programs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    Once,
    UnreachableSourceError,
    line,
    member,
    split,
)
from portside.secrets.clouds import library
from portside.thread import in_thread

TOKEN_FILE = Path("~/.vault-token")


class Vault:
    def __init__(self, root: Path, env: str) -> None:
        self._client = Once(self._connect)
        self._read = Once(self._get)

    async def fetch(self, reference: str) -> str:
        name, key = split(reference)
        if not key or "/" not in name:
            raise MissingSecretError(f"{reference} names no value: write vault:MOUNT/PATH#KEY")
        return member(await self._read(name), f"{name} in Vault", key)

    async def _connect(self, address: str) -> Any:
        return await in_thread(lambda: _client(address), name="vault")

    async def _get(self, name: str) -> Mapping[str, object]:
        address = setting("ADDR")
        if not address:
            raise UnreachableSourceError("Vault's address isn't known: set VAULT_ADDR")
        client = await self._client(address)
        mount, _, path = name.partition("/")
        return await in_thread(lambda: _got(client, mount, path), name="vault")


def setting(name: str) -> str:
    """A variable as Vault's program calls it, or OpenBao's."""
    return os.environ.get(f"VAULT_{name}") or os.environ.get(f"BAO_{name}") or ""


def _client(address: str) -> Any:
    hvac, token = library("hvac"), setting("TOKEN")
    file = TOKEN_FILE.expanduser()
    role = setting("ROLE_ID")
    if not token and not role and file.is_file():
        token = file.read_text().strip()
    client = hvac.Client(
        url=address,
        token=token or None,
        namespace=setting("NAMESPACE") or None,
        verify=setting("CACERT") or True,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
    )
    if not token:
        if not role:
            raise UnreachableSourceError("nobody is logged in to Vault: set VAULT_TOKEN, or VAULT_ROLE_ID")
        _asked(lambda: client.auth.approle.login(role_id=role, secret_id=setting("SECRET_ID")), "the AppRole login")
    return client


def _got(client: Any, mount: str, path: str) -> Mapping[str, object]:
    answer = _asked(
        lambda: client.secrets.kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True),
        f"{mount}/{path}",
    )
    try:
        members: Mapping[str, object] = answer["data"]["data"]
    except (KeyError, TypeError):
        raise UnreachableSourceError(f"what is at VAULT_ADDR answers for {mount}/{path}, but not as Vault") from None
    return members


def _asked(ask: Any, what: str) -> Any:
    hvac, network = library("hvac.exceptions"), library("requests.exceptions")
    try:
        return ask()
    except hvac.InvalidPath:
        raise MissingSecretError(f"Vault has no {what}") from None
    except hvac.VaultError as error:
        raise UnreachableSourceError(f"Vault refuses {what}: {line(error)}") from None
    except network.RequestException as error:
        raise UnreachableSourceError(f"Vault could not be asked for {what}: {line(error)}") from None
