"""The age keys of the person who types: where SOPS looks for them, and a new one.

The places are SOPS' own (https://getsops.io/docs/#encrypting-using-age).
"""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from portside.errors import ConfigError

ELSEWHERE = "choose a file elsewhere: SOPS_AGE_KEY_FILE, or the --file of `invoke secrets key`."


def key_file(variables: Mapping[str, str] = os.environ) -> Path:
    """The file that keys are in, whether it is there or not."""
    if variables.get("SOPS_AGE_KEY_FILE"):
        return Path(variables["SOPS_AGE_KEY_FILE"]).expanduser()
    home = Path.home()
    default = home / "Library/Application Support" if sys.platform == "darwin" else home / ".config"
    return Path(variables.get("XDG_CONFIG_HOME") or default) / "sops/age/keys.txt"


def recipients(variables: Mapping[str, str] = os.environ) -> list[str]:
    """The public halves of the keys that this person has, in their order. Raises ConfigError."""
    file = key_file(variables)
    text = variables.get("SOPS_AGE_KEY", "") + "\n" + _text(file)
    secret = [line.strip() for line in text.splitlines() if line.strip().startswith("AGE-SECRET-KEY-1")]
    try:
        return list(dict.fromkeys(str(_identity().from_str(line).to_public()) for line in secret))
    except Exception:  # pyrage's own class is not public; its text might repeat the key
        raise ConfigError(
            "a line is no age key", where=str(file), remedy="Mend it; it may hold the only key to your secrets."
        ) from None


def _text(file: Path) -> str:
    """What is in the file of keys; "" where it isn't there."""
    try:
        if not file.is_file():
            return ""
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("others can read this private key", where=str(file), remedy=f"chmod 600 {file}")
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "no age keys can be read there", where=str(file), why=str(error), remedy=f"Mend that, or {ELSEWHERE}"
        ) from None


def new_key(file: Path, note: str) -> str:
    """Make a key, add it to `file` (mode 600), and return its public half. Raises ConfigError."""
    identity = _identity().generate()
    public = str(identity.to_public())
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A key whose line doesn't end, as pasted ones don't, would be none any more with something behind it.
        begin = "\n" if file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n") else ""
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a") as lines:
            lines.write(f"{begin}# {date.today()}: {note}\n# public key: {public}\n{identity}\n")
    except OSError as error:
        raise ConfigError(
            "no age key can be kept there", where=str(file), why=str(error), remedy=f"Mend that, or {ELSEWHERE}"
        ) from None
    return public


def _identity() -> Any:
    try:
        return importlib.import_module("pyrage").x25519.Identity
    except ImportError:
        raise ConfigError("pyrage isn't installed", where="this machine", remedy="uv sync --group sops") from None
