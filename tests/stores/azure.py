"""Azure's Key Vault and Microsoft's login, as far as the client libraries ask them; the libraries are Azure's own.

https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses (the challenge)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.stores.base import Store
from tests.stores.web import Answer, Reply, Request

LOGIN, SUFFIX, VAULT = "login.microsoftonline.com", "vault.azure.net", "prod"
TENANT, CLIENT, SECRET, TOKEN = "11111111-2222-3333-4444-555555555555", "deployer", "azure-login", "eyJ.token"
COLLEAGUE = "colleague"


class Azure(Store):
    """Asked through the internet's proxy, under its own names."""

    kind = "azure"
    logins = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")

    def __init__(self, folder: Path, proxy: Mapping[str, str]) -> None:
        self._versions: dict[str, list[str | None]] = {}
        self.closed_to_the_world = False
        self.variables = {
            **proxy,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": SECRET,
            "AZURE_CONFIG_DIR": str(folder / "azure"),
        }

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {LOGIN: self._login, f"{VAULT}.{SUFFIX}": self._answer, "secrets.example.net": self._answer}

    def put(self, name: str, value: str) -> str:
        self._versions.setdefault(name, []).append(value)
        return self.reference(name)

    def reset(self) -> None:
        self._versions.clear()
        self.closed_to_the_world = False

    def disable(self, name: str) -> None:
        self._versions[name][-1] = None

    def reference(self, name: str) -> str:
        return f"azure:{VAULT}/{name}"

    def at(self, address: str) -> Mapping[str, str]:
        return {"https_proxy": f"http://{address}"}

    def refused(self) -> Mapping[str, str]:
        return {"AZURE_CLIENT_SECRET": "expired"}

    def forbidden(self) -> Mapping[str, str]:
        """Somebody who may log in, without the role."""
        return {"AZURE_CLIENT_ID": COLLEAGUE}

    def _login(self, request: Request) -> Reply:
        base = f"https://{LOGIN}/{TENANT}"
        if request.path.endswith("/.well-known/openid-configuration"):
            return Reply(
                200,
                {
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "issuer": f"{base}/v2.0",
                },
            )
        if request.path == "/common/discovery/instance":
            about = {"preferred_network": LOGIN, "preferred_cache": LOGIN, "aliases": [LOGIN]}
            return Reply(200, {"tenant_discovery_endpoint": base, "api-version": "1.1", "metadata": [about]})
        form = request.form
        if form.get("client_secret") != SECRET:
            said = f"AADSTS7000215: Invalid client secret provided for app '{CLIENT}'."
            return Reply(401, {"error": "invalid_client", "error_description": said})
        if form["scope"] != f"https://{SUFFIX}/.default":
            return Reply(400, {"error": "invalid_scope", "error_description": "AADSTS70011"})
        return Reply(200, {"access_token": f"{TOKEN}.{form['client_id']}", "expires_in": 3600, "token_type": "Bearer"})

    def _answer(self, request: Request) -> Reply:
        if not request.bearer.startswith(TOKEN):
            challenge = f'Bearer authorization="https://{LOGIN}/{TENANT}", resource="https://{SUFFIX}"'
            return Reply(401, headers={"WWW-Authenticate": challenge})
        if self.closed_to_the_world:
            said = "Public network access is disabled and request is not from a trusted service."
            return _error(403, "Forbidden", said, "ForbiddenByConnection")
        if request.bearer.endswith(COLLEAGUE):
            return _error(403, "Forbidden", "Caller is not authorized to perform action.", "ForbiddenByRbac")
        _, _, name, version = request.path.split("/")
        kept = self._versions.get(name, [])
        number = int(version or len(kept))
        if not 0 < number <= len(kept):
            said = f"A secret with (name/id) {name} was not found in this key vault."
            return _error(404, "SecretNotFound", said)
        value = kept[number - 1]
        if value is None:
            return _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        attributes = {"enabled": True, "created": 1700000000, "updated": 1700000000}
        return Reply(
            200,
            {"value": value, "id": f"https://{request.host}/secrets/{name}/{number}", "attributes": attributes},
        )


def _error(status: int, code: str, message: str, inner: str = "") -> Reply:
    error = {"code": code, "message": message, **({"innererror": {"code": inner}} if inner else {})}
    return Reply(status, {"error": error})
