"""Google's Secret Manager and its login, as far as the client library asks them; the library is Google's own.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
https://google.aip.dev/auth/4111 (a service account signs its own tokens)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.stores.base import Store
from tests.stores.web import Answer, Reply, Request

API, LOGIN = "secretmanager.googleapis.com", "oauth2.googleapis.com"
BOUNDARIES = "iamcredentials.googleapis.com"
PROJECT, ACCOUNT = "shop", "deployer@shop.iam.gserviceaccount.com"
REFRESH, PERSON = "1//a-persons-login", "ya29.a-persons-token"


class Google(Store):
    """Asked through the internet's proxy, under its own names."""

    kind = "gcp"
    logins = ("GOOGLE_APPLICATION_CREDENTIALS",)

    def __init__(self, folder: Path, proxy: Mapping[str, str]) -> None:
        # Signing takes 30 ms with such a short key, and generating it no second.
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._versions: dict[str, list[bytes | str]] = {}
        self._folder = folder
        self.variables = {
            **proxy,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._account("account.json", ACCOUNT, self._key)),
            # Nobody is asked whether this machine is one of Google's.
            "NO_GCE_CHECK": "true",
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }

    @property
    def answers(self) -> Mapping[str, Answer]:
        # Where an account's tokens are good is asked on the way, and no answer means everywhere.
        return {API: self._answer, LOGIN: self._login, BOUNDARIES: lambda _: Reply(404)}

    def put(self, name: str, value: str) -> str:
        self._versions.setdefault(name, []).append(value.encode())
        return self.reference(name)

    def reset(self) -> None:
        self._versions.clear()

    def put_binary(self, name: str, value: bytes) -> str:
        self._versions.setdefault(name, []).append(value)
        return self.reference(name)

    def disable(self, name: str) -> None:
        """Its newest version, which can be undone; a word in place of the value."""
        self._versions[name][-1] = "DISABLED"

    def reference(self, name: str) -> str:
        return f"gcp:{PROJECT}/{name}"

    def at(self, address: str) -> Mapping[str, str]:
        return {"https_proxy": f"http://{address}"}

    def refused(self) -> Mapping[str, str]:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(self._account("revoked.json", ACCOUNT, other))}

    def forbidden(self) -> Mapping[str, str]:
        """Somebody that Google knows, without the role."""
        path = self._account("colleague.json", "colleague@shop.iam.gserviceaccount.com", self._key)
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}

    def person(self, refresh: str = REFRESH) -> Mapping[str, str]:
        """What `gcloud auth application-default login` leaves."""
        folder = self._folder / "gcloud"
        folder.mkdir(exist_ok=True)
        login = {"type": "authorized_user", "client_id": "id", "client_secret": "s", "refresh_token": refresh}
        (folder / "application_default_credentials.json").write_text(json.dumps(login))
        return {"GOOGLE_APPLICATION_CREDENTIALS": ""}

    def _account(self, file: str, email: str, key: rsa.RSAPrivateKey) -> Path:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": email,
            "client_id": "1",
            "token_uri": f"https://{LOGIN}/token",
        }
        path = self._folder / file
        path.write_text(json.dumps(account))
        return path

    def _login(self, request: Request) -> Reply:
        if request.form.get("refresh_token") != REFRESH:
            return Reply(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        return Reply(200, {"access_token": PERSON, "expires_in": 3600, "token_type": "Bearer"})

    def _answer(self, request: Request) -> Reply:
        who = PERSON if request.bearer == PERSON else self._signed(request.bearer)
        if not who:
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        resource = request.path.removeprefix("/v1/").removesuffix(":access")
        name, version = resource.split("/")[-3], resource.split("/")[-1]
        if who not in (ACCOUNT, PERSON):
            denied = f"Permission 'secretmanager.versions.access' denied for resource '{resource}'"
            return _error(403, "PERMISSION_DENIED", f"{denied} (or it may not exist).")
        kept = self._versions.get(name, [])
        number = len(kept) if version == "latest" else int(version)
        if not resource.startswith(f"projects/{PROJECT}/secrets/") or not 0 < number <= len(kept):
            return _error(404, "NOT_FOUND", f"Secret [{resource}] not found or has no versions.")
        value = kept[number - 1]
        if isinstance(value, str):
            return _error(400, "FAILED_PRECONDITION", f"Secret Version [{resource}] is in {value} state.")
        return Reply(200, {"name": resource, "payload": {"data": base64.b64encode(value).decode()}})

    def _signed(self, token: str) -> str:
        """Who signed the token, with the key that Google knows of them; empty when nobody did."""
        try:
            head, claims, signature = token.split(".")
            self._key.public_key().verify(
                _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, InvalidSignature):
            return ""
        told: dict[str, Any] = json.loads(_decoded(claims))
        return str(told["iss"])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(code: int, status: str, message: str) -> Reply:
    return Reply(code, {"error": {"code": code, "message": message, "status": status}})
