"""Stores by the word that references to them begin with, each started when it is first asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.certificate import written_certificate
from tests.stores import azure, google
from tests.stores.amazon import Amazon
from tests.stores.base import Store
from tests.stores.bitwarden import Bitwarden
from tests.stores.programs import BitwardenSecrets, OnePassword
from tests.stores.vault import Vault
from tests.stores.web import Web

HOSTS = (
    google.API,
    google.LOGIN,
    google.BOUNDARIES,
    azure.LOGIN,
    f"{azure.VAULT}.{azure.SUFFIX}",
    "secrets.example.net",
    "localhost",
)


class Standing:
    """`folder` is where their certificates and logins are, `bw` that of Bitwarden's program. All ends with `stack`."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, bw: Callable[[], Path]) -> None:
        self._program = bw
        self._folder = folder
        self._stack = stack
        self._stores: dict[str, Store] = {}
        self.certificate = written_certificate(folder, *HOSTS)
        self.internet = Web({}, self.certificate)
        stack.callback(self.internet.close)
        self._proxy = {
            "https_proxy": f"http://{self.internet.address}",
            "http_proxy": f"http://{self.internet.address}",
            "no_proxy": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(self.certificate[0]),
        }

    def __getitem__(self, kind: str) -> Store:
        if kind not in self._stores:
            made: dict[str, Callable[[], Store]] = {
                "aws": self._amazon,
                "azure": self._azure,
                "bw": self._bitwarden,
                "bws": lambda: BitwardenSecrets(self._folder),
                "gcp": self._google,
                "op": lambda: OnePassword(self._folder),
                "vault": self._vault,
            }
            self._stores[kind] = made[kind]()
        return self._stores[kind]

    def variables(self, kinds: Iterable[str]) -> dict[str, str]:
        """The environment of somebody who is logged in to all of these."""
        each = [self[kind].variables for kind in kinds]
        folders = [folder for variables in each for folder in variables.get("PATH", "").split(":")]
        merged = {name: value for variables in each for name, value in variables.items()}
        return {**merged, "PATH": ":".join(dict.fromkeys(filter(None, folders)))}

    def _amazon(self) -> Store:
        store = Amazon(self._folder)
        self._stack.callback(store.close)
        return store

    def _bitwarden(self) -> Store:
        store = Bitwarden(self._folder, self.certificate, self._program())
        self._stack.callback(store.web.close)
        # `bw` sends everything to a proxy, whatever no_proxy says.
        self.internet.answers["127.0.0.1"] = store.web.answers[""]
        return store

    def _google(self) -> Store:
        store = google.Google(self._folder, self._proxy)
        self.internet.answers.update(store.answers)
        return store

    def _azure(self) -> Store:
        store = azure.Azure(self._folder, self._proxy)
        self.internet.answers.update(store.answers)
        return store

    def _vault(self) -> Store:
        store = Vault(self.certificate)
        self._stack.callback(store.web.close)
        return store
