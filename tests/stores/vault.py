"""Vault's (and OpenBao's) API as far as hvac asks it: KV version 2, tokens, AppRole. No binary of either could be had.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version
https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stores.base import Store
from tests.stores.web import Reply, Request, Web

TOKEN, ROLE, ROLE_SECRET, ISSUED = "hvs.root-token", "role-1", "role-secret-id", "hvs.issued-to-the-role"
COLLEAGUE = "hvs.colleague"


class Vault(Store):
    """One mount, `kv`. A value of name NAME is the key `value` of the path `app/NAME`."""

    kind = "vault"
    logins = ("VAULT_TOKEN",)

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.reset()
        self.web = Web({"": self._answer}, certificate)
        self.variables = {
            "VAULT_ADDR": f"https://{self.web.address}",
            "VAULT_CACERT": str(certificate[0]),
            "VAULT_TOKEN": TOKEN,
        }

    def reset(self) -> None:
        self._kept: dict[str, dict[str, object] | None] = {}
        self.sealed = False
        self.namespace = ""
        self.nonsense: Any = None

    def put(self, name: str, value: str) -> str:
        self._kept[f"app/{name}"] = {"value": value}
        return self.reference(name)

    def put_all(self, path: str, values: Mapping[str, object]) -> None:
        self._kept[path] = dict(values)

    def delete(self, name: str) -> None:
        """The newest version, which can be undone."""
        self._kept[f"app/{name}"] = None

    def reference(self, name: str) -> str:
        return f"vault:kv/app/{name}#value"

    def at(self, address: str) -> Mapping[str, str]:
        return {"VAULT_ADDR": f"http://{address}"}

    def refused(self) -> Mapping[str, str]:
        return {"VAULT_TOKEN": COLLEAGUE}

    def role(self) -> Mapping[str, str]:
        """Log in by an AppRole."""
        return {"VAULT_TOKEN": "", "VAULT_ROLE_ID": ROLE, "VAULT_SECRET_ID": ROLE_SECRET}

    def _answer(self, request: Request) -> Reply:
        if self.nonsense is not None:
            return Reply(200, self.nonsense)
        if self.sealed:
            return Reply(503, {"errors": ["Vault is sealed"]})
        if request.headers.get("X-Vault-Namespace", "") != self.namespace:
            return Reply(404, {"errors": ["no handler for route"]})
        return self._login(request) if request.path == "/v1/auth/approle/login" else self._read(request)

    def _login(self, request: Request) -> Reply:
        given = json.loads(request.body)
        if (given["role_id"], given["secret_id"]) != (ROLE, ROLE_SECRET):
            return Reply(400, {"errors": ["invalid role or secret ID"]})
        return Reply(200, {"auth": {"client_token": ISSUED}})

    def _read(self, request: Request) -> Reply:
        if request.headers.get("X-Vault-Token") not in (TOKEN, ISSUED):
            return Reply(403, {"errors": ["permission denied"]})
        path = request.path.removeprefix("/v1/kv/data/")
        if path not in self._kept:
            return Reply(404, {"errors": []})
        values = self._kept[path]
        about = {"version": 1, "deletion_time": "" if values is not None else "2026-01-01T00:00:00Z"}
        return Reply(200 if values is not None else 404, {"data": {"data": values, "metadata": about}})
