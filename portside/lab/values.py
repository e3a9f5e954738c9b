"""What a lab is, as values: its hosts, and the files through which ssh and Portside reach them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from portside.errors import ConfigError

USER = "deploy"
KEY = "id_ed25519"


class LabHost(BaseModel):
    """One host. `name` is its container's name and its name in ssh_config."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    public_key: str
    port: int = 22
    user: str = USER


class Lab(BaseModel):
    """A running lab. `network` is a Docker network of this machine, with `subnet` and `gateway`."""

    model_config = ConfigDict(frozen=True)

    name: str
    network: str
    subnet: str
    gateway: str
    hosts: tuple[LabHost, ...]
    state_dir: Path

    @property
    def key(self) -> Path:
        return self.state_dir / KEY

    @property
    def known_hosts(self) -> Path:
        return self.state_dir / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.state_dir / "ssh_config"

    def write(self) -> None:
        """Write lab.json, known_hosts and ssh_config into the state directory."""
        (self.state_dir / "lab.json").write_text(self.model_dump_json(indent=2) + "\n")
        self.known_hosts.write_text(known_hosts(self.hosts))
        self.ssh_config.write_text(ssh_config(self))


def new_state_dir(state_dir: Path) -> Path:
    """Make the directory, its owner's only, without an earlier lab's files; return its full path."""
    state_dir.mkdir(parents=True, exist_ok=True)
    state_dir.chmod(0o700)
    for leftover in (KEY, f"{KEY}.pub", "known_hosts", "ssh_config", "lab.json"):
        (state_dir / leftover).unlink(missing_ok=True)
    return state_dir.resolve()


def load_lab(state_dir: Path) -> Lab:
    """Read the lab that was written to `state_dir`. Raises ConfigError."""
    file = state_dir / "lab.json"
    try:
        return Lab.model_validate_json(file.read_text())
    except FileNotFoundError:
        raise ConfigError("there is no lab here", where=str(file), remedy="start one: invoke lab-up") from None
    except ValidationError as error:
        raise ConfigError(
            "this is not a lab that this version can read",
            where=str(file),
            why=str(error),
            remedy="start it anew: invoke lab-down, then invoke lab-up",
        ) from None


def known_hosts(hosts: Iterable[LabHost]) -> str:
    """OpenSSH's known_hosts: each host under its name and its address."""
    return "".join(f"{host.name},{host.address} {host.public_key}\n" for host in hosts)


def ssh_config(lab: Lab) -> str:
    """An ssh_config for `ssh -F` and for asyncssh's `config=`."""
    return "\n".join(_ssh_config_entry(lab, host) for host in lab.hosts)


def _ssh_config_entry(lab: Lab, host: LabHost) -> str:
    options = {
        "HostName": host.address,
        "Port": host.port,
        "User": host.user,
        "IdentityFile": _quoted(lab.key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": _quoted(lab.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
    }
    return f"Host {host.name}\n" + "".join(f"  {name} {value}\n" for name, value in options.items())


def _quoted(path: Path) -> str:
    """A path in ssh_config, where a % begins a token."""
    return '"{}"'.format(str(path).replace("%", "%%"))


def write_environment(lab: Lab, path: Path, env: str, settings: Mapping[str, object] | None = None) -> None:
    """Write the lab as an environment of portside.toml, for `--env <env>`; `settings` are further keys of it.

    Lab hosts share no database: each runs the accessories itself, and knows only what was written through it.
    """
    names = [host.name for host in lab.hosts]
    keys: dict[str, object] = {
        "hosts": names,
        "accessory_hosts": names,
        "ssh_config": str(lab.ssh_config),
        # The same that ssh_config names, whose tokens asyncssh takes for what they are in this one.
        "known_hosts": str(lab.known_hosts),
        **(settings or {}),
    }
    lines = ["# Written by the lab; gone with it.", f"[env.{env}]", *_assignments(keys)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _assignments(keys: Mapping[str, object], within: str = "") -> Iterable[str]:
    for key, value in keys.items():
        # A table without a key also says something: a monitoring stack of its own, with nothing set.
        if isinstance(value, Mapping) and value:
            yield from _assignments(value, f"{within}{key}.")
        else:
            # TOML's strings, numbers, booleans and lists of them are written as JSON writes them, but for a character
            # that TOML wants escaped, and the halves in which JSON escapes those that are beyond 16 bits.
            yield f"{within}{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
