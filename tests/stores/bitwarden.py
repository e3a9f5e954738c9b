"""Bitwarden's server as far as its own `bw` asks it: log in, sync. What is kept there is encrypted, as it is for real.

https://bitwarden.com/help/bitwarden-security-white-paper/ (the keys); the rest is what `bw` 2026.6.0 sends and reads.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.padding import PKCS7

from tests.stores.base import Store
from tests.stores.web import Reply, Request, Web

EMAIL, PASSWORD, USER = "deployer@example.com", "bitwarden-master-password", str(uuid.UUID(int=1))
# The fewest that `bw` accepts.
ITERATIONS = 5000
LOGIN_SECONDS = 60.0


class Bitwarden(Store):
    """`program` is the folder of the real `bw`. A value of name NAME is the password of the item NAME."""

    kind = "bw"
    logins = ("BW_SESSION",)

    def __init__(self, folder: Path, certificate: tuple[Path, Path], program: Path) -> None:
        self._key = os.urandom(64)
        self._items: dict[str, dict[str, Any]] = {}
        self._revised = time.time()
        self.web = Web({"": self._answer}, certificate)
        stretched = _stretched(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), EMAIL.encode(), ITERATIONS))
        self._wrapped = _encrypted(self._key, stretched)
        pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = serialization.Encoding.DER
        private = pair.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._private = _encrypted(private, self._key)
        public = pair.public_key().public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._pair = {"publicKey": base64.b64encode(public).decode(), "wrappedPrivateKey": self._private}
        self.variables = {
            "PATH": f"{program}:{os.environ['PATH']}",
            "BITWARDENCLI_APPDATA_DIR": str(folder / "bw"),
            "NODE_EXTRA_CA_CERTS": str(certificate[0]),
        }
        self._bw("config", "server", f"https://{self.web.address}")
        self.variables["BW_SESSION"] = self._bw("login", EMAIL, "--passwordenv", "BW_PASSWORD", "--raw")

    def put(self, name: str, value: str) -> str:
        return self.put_item(name, {"login": {"username": "app", "password": value}})

    def reset(self) -> None:
        self._items.clear()
        self._revised = time.time()

    def put_item(self, name: str, item: Mapping[str, Any], identity: str = "") -> str:
        """An item as `bw` shows it. Names need not be unique: `identity` tells one from another."""
        fields = [
            {"type": 1, "name": self._enc(key), "value": self._enc(value)} for key, value in item.get("fields", ())
        ]
        login = {key: self._enc(value) for key, value in item.get("login", {}).items()}
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        kept = identity or str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        self._items[kept] = {
            **{"id": kept, "type": 1, "object": "cipherDetails", "name": self._enc(name), "login": login},
            **{"notes": self._enc(item["notes"]) if "notes" in item else None, "fields": fields, "reprompt": 0},
            **{"organizationId": None, "folderId": None, "favorite": False, "edit": True, "viewPassword": True},
            **{"revisionDate": now, "creationDate": now, "deletedDate": None, "collectionIds": [], "key": None},
        }
        self._revised = time.time()
        return self.reference(name)

    def reference(self, name: str) -> str:
        return f"bw:{name}"

    def at(self, address: str) -> Mapping[str, str]:
        """`bw` keeps the server's address in its folder: only what is between can be changed."""
        return {"https_proxy": f"http://{address}", "no_proxy": ""}

    def refused(self) -> Mapping[str, str]:
        return {"BW_SESSION": base64.b64encode(os.urandom(64)).decode()}

    def _bw(self, *arguments: str) -> str:
        done = subprocess.run(
            ["bw", *arguments, "--nointeraction"],
            env={**os.environ, **self.variables, "BW_PASSWORD": PASSWORD},
            capture_output=True, text=True, timeout=LOGIN_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _enc(self, text: str) -> str:
        return _encrypted(text.encode(), self._key)

    def _answer(self, request: Request) -> Reply:
        path = request.path
        if path == "/api/config":
            return Reply(200, {"version": "2026.6.0", "gitHash": "", "environment": {}, "featureStates": {}})
        if path == "/identity/accounts/prelogin/password":
            kdf = {"kdfType": 0, "iterations": ITERATIONS}
            return Reply(200, {"kdf": 0, "kdfIterations": ITERATIONS, "kdfSettings": kdf, "salt": EMAIL})
        if path == "/identity/connect/token":
            return Reply(200, self._login())
        if not request.bearer:
            return Reply(401)
        if path == "/api/accounts/revision-date":
            return Reply(200, int(self._revised * 1000))
        return Reply(200, self._everything()) if path == "/api/sync" else Reply(404)

    def _login(self) -> dict[str, Any]:
        claims = {"sub": USER, "email": EMAIL, "name": "Deployer", "exp": int(time.time()) + 3600, "iat": time.time()}
        claims |= {"nbf": int(time.time()), "iss": "bitwarden", "premium": False, "email_verified": True, "amr": ["A"]}
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "RS256"}, claims)
        )
        return {
            **{"access_token": f"{token}.c2ln", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r"},
            **{"Key": self._wrapped, "PrivateKey": self._private, "Kdf": 0, "KdfIterations": ITERATIONS},
            "AccountKeys": {"publicKeyEncryptionKeyPair": self._pair},
            "UserDecryptionOptions": {"HasMasterPassword": True, "MasterPasswordUnlock": self._unlock()},
        }

    def _unlock(self) -> dict[str, Any]:
        kdf = {"KdfType": 0, "Iterations": ITERATIONS}
        return {"Kdf": kdf, "MasterKeyEncryptedUserKey": self._wrapped, "Salt": EMAIL}

    def _everything(self) -> dict[str, Any]:
        return {
            "object": "sync",
            "profile": {
                **{"id": USER, "email": EMAIL, "name": "Deployer", "emailVerified": True, "premium": False},
                **{"key": self._wrapped, "privateKey": self._private, "securityStamp": "stamp", "object": "profile"},
                "accountKeys": {"publicKeyEncryptionKeyPair": self._pair},
                **{"organizations": [], "providers": [], "providerOrganizations": []},
            },
            **{"folders": [], "collections": [], "policies": [], "sends": [], "ciphers": list(self._items.values())},
            "domains": {"equivalentDomains": [], "globalEquivalentDomains": []},
            "userDecryption": {"masterPasswordUnlock": self._unlock()},
        }


def _stretched(key: bytes) -> bytes:
    return b"".join(HKDFExpand(hashes.SHA256(), 32, info).derive(key) for info in (b"enc", b"mac"))


def _encrypted(blob: bytes, key: bytes) -> str:
    """Bitwarden's type 2: AES-256-CBC, and HMAC-SHA256 over vector and ciphertext."""
    vector, padder = os.urandom(16), PKCS7(128).padder()
    padded = padder.update(blob) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key[:32]), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(padded) + encryptor.finalize()
    tag = hmac.digest(key[32:], vector + sealed, "sha256")
    return "2." + "|".join(base64.b64encode(part).decode() for part in (vector, sealed, tag))
