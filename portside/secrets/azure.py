"""`azure:VAULT/NAME`, with `@VERSION` or `#KEY` behind it: Azure Key Vault.

VAULT is the vault's name, or its whole host name in another cloud. Login is Azure's own: AZURE_CLIENT_ID and its
companions, `az login`, a managed identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    Once,
    UnreachableSourceError,
    picked,
    split,
)
from portside.secrets.clouds import library
from portside.thread import in_thread


class KeyVault:
    def __init__(self, root: Path, env: str) -> None:
        self._client = Once(self._connect)
        self._read = Once(self._get)

    async def fetch(self, reference: str) -> str:
        name, key = split(reference)
        return picked(await self._read(name), f"the Azure secret {name}", key)

    async def _connect(self, vault: str) -> Any:
        return await in_thread(lambda: _client(vault), name="azure")

    async def _get(self, name: str) -> str:
        vault, secret, version = parts(name)
        client = await self._client(vault)
        return await in_thread(lambda: _got(client, name, secret, version), name="azure")


def parts(name: str) -> tuple[str, str, str | None]:
    """`VAULT/NAME@VERSION` as (the vault's address, the secret's name, its version). Raises MissingSecretError."""
    vault, _, rest = name.partition("/")
    secret, _, version = rest.partition("@")
    if not vault or not secret or "/" in secret:
        raise MissingSecretError(f"{name} names no secret: write azure:VAULT/NAME")
    host = vault if "." in vault else f"{vault}.vault.azure.net"
    return f"https://{host}", secret, version or None


def _client(vault: str) -> Any:
    identity, secrets = library("azure.identity"), library("azure.keyvault.secrets")
    times = {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retry_total": 1}
    return secrets.SecretClient(vault, identity.DefaultAzureCredential(**times), **times)


def _got(client: Any, name: str, secret: str, version: str | None) -> str:
    errors = library("azure.core.exceptions")
    try:
        return client.get_secret(secret, version).value or ""
    except errors.ResourceNotFoundError:
        raise MissingSecretError(f"Azure has no secret {name}") from None
    except errors.HttpResponseError as error:
        if error.error is not None and error.error.code == "Forbidden" and "disabled" in str(error.message).lower():
            raise MissingSecretError(f"the Azure secret {name} is disabled") from None
        raise UnreachableSourceError(f"Azure refuses {name}: {_line(error)}") from None
    except errors.AzureError as error:
        raise UnreachableSourceError(f"Azure could not be asked for {name}: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
