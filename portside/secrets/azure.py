"""`azure:VAULT/NAME`, with `@VERSION` or `#KEY` behind it: Azure Key Vault.

VAULT is the vault's name, or its whole host name in another cloud. Login is Azure's own: AZURE_CLIENT_ID and its
companions, `az login`, a managed identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    Once,
    SecretError,
    UnreachableSourceError,
    first_alone,
    line,
    picked,
    split,
)
from portside.secrets.clouds import library
from portside.thread import in_thread

# `az` on a busy machine; what is left of fetching.SECONDS is for the vault.
LOGIN_SECONDS = 20
# What azure-identity says where `az` doesn't end in time.
_LATE = "Failed to invoke the Azure CLI"


class NotLoggedInError(UnreachableSourceError):
    """It is the same for every secret of the vault."""


class KeyVault:
    def __init__(self, root: Path, env: str) -> None:
        self._client = Once(self._connect)
        self._read = Once(self._get)

    async def fetch(self, reference: str) -> str:
        name, key = split(reference)
        return picked(await self._read(name), f"the Azure secret {name}", key)

    async def fetch_many(self, references: Sequence[str]) -> Mapping[str, str | SecretError]:
        """Of each vault the first alone: its login may start `az`, for seconds. The others have its token then."""
        vaults: dict[str, list[str]] = {}
        for reference in references:
            vaults.setdefault(reference.partition("/")[0], []).append(reference)
        answers = await asyncio.gather(*(first_alone(each, self.fetch, NotLoggedInError) for each in vaults.values()))
        return {reference: answer for each in answers for reference, answer in each.items()}

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
    return library("azure.keyvault.secrets").SecretClient(vault, _credential(), **_times())


def _credential() -> Any:
    return library("azure.identity").DefaultAzureCredential(process_timeout=LOGIN_SECONDS, **_times())


def _times() -> dict[str, float]:
    return {"connection_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "retry_total": 1}


def _got(client: Any, name: str, secret: str, version: str | None) -> str:
    errors = library("azure.core.exceptions")
    try:
        return client.get_secret(secret, version).value or ""
    except errors.ResourceNotFoundError:
        raise MissingSecretError(f"Azure has no secret {name}") from None
    except errors.ClientAuthenticationError as error:
        raise NotLoggedInError(_login(error)) from None
    except errors.HttpResponseError as error:
        # A vault behind a firewall says "disabled" too, of its public network access.
        if "SecretDisabled" in str(getattr(error.error, "innererror", None)):
            raise MissingSecretError(f"the Azure secret {name} is disabled") from None
        raise UnreachableSourceError(f"Azure refuses {name}: {line(error)}") from None
    # A vault that sends its clients to log in elsewhere than where it is itself is a ValueError.
    except (errors.AzureError, ValueError) as error:
        raise UnreachableSourceError(f"Azure could not be asked for {name}: {line(error)}") from None


def _login(error: Exception) -> str:
    """The error lists every kind of login that was tried: the last one failed, or all of them had nothing to go by."""
    _, failed, reason = str(error).rpartition("Authentication failed: ")
    if failed:
        return f"Azure could not be asked, since the login failed: {' '.join(reason.splitlines()[0].split())}"
    if _LATE in str(error):
        return f"Azure could not be asked, since az gave no token within {LOGIN_SECONDS} s; try: az account show"
    return "nobody is logged in to Azure: az login, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
