"""`gcp:PROJECT/NAME`, with `@VERSION` or `#KEY` behind it: Google Cloud's Secret Manager.

Login is Google's own: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the machine's.
CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER names another endpoint, as it does for gcloud: a region's, or a private
one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    Once,
    UnreachableSourceError,
    line,
    picked,
    split,
    text,
)
from portside.secrets.clouds import library
from portside.thread import in_thread

_NOBODY = "nobody is logged in to Google: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"


class SecretManager:
    def __init__(self, root: Path, env: str) -> None:
        self._client = Once(self._connect)
        self._read = Once(self._access)

    async def fetch(self, reference: str) -> str:
        name, key = split(reference)
        path = version_path(name)
        return picked(await self._read(path), f"the Google secret {name}", key)

    async def _connect(self, endpoint: str) -> Any:
        return await in_thread(lambda: _client(endpoint), name="gcp")

    async def _access(self, path: str) -> str:
        client = await self._client(os.environ.get(ENDPOINT, ""))
        return await in_thread(lambda: _accessed(client, path), name="gcp")


def version_path(name: str) -> str:
    """`PROJECT/NAME@VERSION` as Google writes it; its own long form is taken as it is. Raises MissingSecretError."""
    if name.startswith("projects/"):
        return name if "/versions/" in name else f"{name}/versions/latest"
    secret, _, version = name.partition("@")
    project, _, secret = secret.partition("/")
    if not project or not secret or "/" in secret:
        raise MissingSecretError(f"{name} names no secret: write gcp:PROJECT/NAME")
    return f"projects/{project}/secrets/{secret}/versions/{version or 'latest'}"


def _client(endpoint: str) -> Any:
    manager, exceptions = library("google.cloud.secretmanager"), library("google.auth.exceptions")
    # REST, not gRPC: it goes through a company's proxy.
    options = {"client_options": {"api_endpoint": endpoint.rstrip("/")}} if endpoint else {}
    try:
        return manager.SecretManagerServiceClient(transport="rest", **options)
    # A key file that is no key is a ValueError.
    except (exceptions.GoogleAuthError, ValueError) as error:
        raise UnreachableSourceError(f"{_NOBODY} ({line(error)})") from None


def _accessed(client: Any, path: str) -> str:
    errors, auth = library("google.api_core.exceptions"), library("google.auth.exceptions")
    network = library("requests.exceptions")
    try:
        answer = client.access_secret_version(
            request={"name": path}, retry=None, timeout=CONNECT_SECONDS + READ_SECONDS
        )
    except (errors.NotFound, errors.BadRequest) as error:
        status, said = _said(error)
        # A version that is disabled or destroyed.
        if status in ("NOT_FOUND", "FAILED_PRECONDITION"):
            raise MissingSecretError(f"Google has no {path}: {said}") from None
        raise UnreachableSourceError(f"Google refuses {path}: {said}") from None
    except errors.ClientError as error:
        raise UnreachableSourceError(f"Google refuses {path}: {_said(error)[1]}") from None
    except auth.RefreshError as error:
        raise UnreachableSourceError(f"{_NOBODY} ({line(error)})") from None
    except (errors.GoogleAPICallError, auth.GoogleAuthError, network.RequestException) as error:
        raise UnreachableSourceError(f"Google could not be asked for {path}: {line(error)}") from None
    return text(answer.payload.data, f"the Google secret {path}")


def _said(error: Any) -> tuple[str, str]:
    """Google's word for what is wrong, which the library drops over REST, and its sentence, without the URL."""
    try:
        told = error.response.json()["error"]
        return told["status"], " ".join(told["message"].split())[:300]
    except (AttributeError, KeyError, TypeError, ValueError):
        return "", line(error)
