"""The `configs` of a Compose file: texts that are no secret and that a release's containers find as files.

Each is shipped with the release that was made with it, under a name that ends with its fingerprint: a changed text is
a change of the release, and a rollback brings the text of its own release back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portside.errors import ConfigError
from portside.interpolation import expanded
from portside.release import CONFIG

# A Swarm takes 1000 kB, its store copies all of them to every manager: https://docs.docker.com/engine/swarm/configs/
LARGEST = 500_000
KEYS = {"file", "content"}


def read_configs(data: Mapping[str, Any], path: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Name to text, of the Compose file `path` that holds `data`; a `file` is relative to its folder.

    `variables` are what `${NAME}` may stand for in a `content`; a `file` is taken as it is. Raises ConfigError for what
    can't be read or shipped, and for a service that names a config which isn't there.
    """
    declared = data.get("configs") or {}
    if not isinstance(declared, dict):
        raise ConfigError("not a mapping of names", where=f"{path}: configs")
    found = {name: _text(name, entry, path, variables) for name, entry in declared.items()}
    for service, name in _named(data):
        if name not in found:
            raise ConfigError(
                f"there is no config {name!r}",
                where=f"{path}: services.{service}.configs",
                remedy=f"Add it at the top level of the file, with `file` or `content`; there are: {_list(found)}.",
            )
    return found


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shipped_name(name: str, text: str) -> str:
    """What the file of a config is called in a release's directory."""
    return f"{CONFIG}{name}-{fingerprint(text)}"


def _text(name: object, entry: object, path: Path, variables: Mapping[str, str]) -> str:
    where = f"{path}: configs.{name}"
    # It becomes a file's name and a Swarm object's.
    if not isinstance(name, str) or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError("a config's name is made of letters, digits, - and _", where=where)
    if not isinstance(entry, dict) or len(KEYS & entry.keys()) != 1 or entry.keys() - KEYS:
        raise ConfigError(
            "a config has either `file` or `content`, and nothing else",
            where=where,
            why="A release brings its configs with it, so that a rollback has those of its own.",
        )
    ((kind, value),) = entry.items()
    if not isinstance(value, str):
        raise ConfigError("not text", where=f"{where}.{kind}")
    if kind == "content":
        text = expanded(value, variables, f"{where}.content")
    else:
        text = _read(path.parent / value, f"{where}.file")
    if not text or len(text.encode()) > LARGEST:
        raise ConfigError(
            f"a config has between 1 and {LARGEST} bytes, this one {len(text.encode())}", where=f"{where}.{kind}"
        )
    return text


def _read(path: Path, where: str) -> str:
    try:
        # As it is, ends of lines included.
        return path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read as text", where=where, why=str(error)) from None


def _named(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for service, settings in data["services"].items():
        entries = (settings or {}).get("configs", [])
        for entry in entries if isinstance(entries, list) else []:
            yield service, str(entry.get("source", "") if isinstance(entry, dict) else entry)


def _list(found: Mapping[str, str]) -> str:
    return ", ".join(found) or "none"
