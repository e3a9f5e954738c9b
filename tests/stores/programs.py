"""1Password and Bitwarden's Secrets Manager behind stand-ins for their programs (stand_in.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.stores.base import CLOSED, Store

STAND_IN = Path(__file__).with_name("stand_in.py")


class _Program(Store):
    token: str
    program: str

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / self.program).symlink_to(STAND_IN)
        self._file = folder / f"{self.program}.json"
        self.reset()
        self.variables = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            f"STAND_IN_{self.program.upper()}": str(self._file),
            self.logins[0]: self.token,
        }

    def reset(self) -> None:
        self._kept: dict[str, Any] = {f"{self.program}_token": self.token, "op": {}, "bws": []}
        self._write()

    def at(self, address: str) -> Mapping[str, str]:
        """A stand-in asks nobody: it hangs by itself, or isn't there."""
        self._kept["hangs"] = address != CLOSED
        self._write()
        return {"PATH": str(self._file.parent)} if address == CLOSED else {}

    def refused(self) -> Mapping[str, str]:
        return {self.logins[0]: "revoked"}

    @property
    def asked(self) -> list[str]:
        """The command lines that it was called with."""
        log = Path(f"{self._file}.asked")
        return log.read_text().splitlines() if log.exists() else []

    def _write(self) -> None:
        self._file.write_text(json.dumps(self._kept))


class OnePassword(_Program):
    kind = "op"
    program, token = "op", "ops_login-token"
    logins = ("OP_SERVICE_ACCOUNT_TOKEN",)

    def put(self, name: str, value: str) -> str:
        self._kept["op"].setdefault("Prod", {})[name] = {"password": value}
        self._write()
        return self.reference(name)

    def reference(self, name: str) -> str:
        return f"op://Prod/{name}/password"


class BitwardenSecrets(_Program):
    kind = "bws"
    program, token = "bws", "0.48c78342.bws-login-token"
    logins = ("BWS_ACCESS_TOKEN",)

    def put(self, name: str, value: str) -> str:
        self._kept["bws"] = [each for each in self._kept["bws"] if each["key"] != name]
        return self.put_another(name, value)

    def put_another(self, name: str, value: str) -> str:
        """Names need not be unique there."""
        self._kept["bws"].append({"key": name, "value": value})
        self._write()
        return self.reference(name)

    def reference(self, name: str) -> str:
        return f"bws:{name}"
