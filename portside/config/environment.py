"""[env.NAME]: one place to release to."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from portside.config.base import (
    EnvName,
    Listen,
    Model,
    Name,
    Origin,
    Percent,
    Platform,
    Repository,
    Seconds,
    destination,
    home,
    source_reference,
)
from portside.config.observe import Observe


class Environment(Model):
    """One place to release to. Times are in seconds.

    `env` values may name a secret as `${NAME}`; such a value is then treated as a secret itself.
    `secrets` maps a name to `source:reference`, see portside/secrets. `observe` is a monitoring stack of its own.
    """

    name: Name
    hosts: tuple[str, ...] = ()
    accessory_hosts: tuple[str, ...] | None = None
    orchestrator: Literal["compose", "swarm"] = "compose"
    swarm_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    registry: Repository = "none"
    platform: Platform | None = None
    http: Listen = "127.0.0.1:8080"
    https: Listen | None = None
    domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")] | None = None
    url: Origin | None = None
    tls: Literal["acme", "internal"] = "acme"
    replicas: dict[Name, Annotated[int, Field(ge=0, le=64)]] = {}
    env: dict[EnvName, str] = {}
    secrets: dict[EnvName, str] = {}
    keep: Annotated[int, Field(ge=2, le=100)] = 5
    bake: Seconds = 10
    canary: tuple[Percent, ...] = ()
    keep_warm: bool = False
    max_parallel: Annotated[int, Field(ge=1, le=1000)] | None = None
    confirm: bool = False
    require_scan: bool = False
    require_signature: bool = False
    connect_deadline: Seconds = 15
    start_deadline: Seconds = 60
    drain_deadline: Seconds = 30
    transfer_deadline: Seconds = 900
    harden: bool = True
    reboot_at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    lock_ttl: Annotated[int, Field(ge=5, le=3600)] = 30
    min_disk_mb: int = 500
    min_memory_mb: int = 128
    observe: Observe | None = None

    @field_validator("hosts")
    @classmethod
    def _destinations(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            destination(host)
        if len(set(hosts)) != len(hosts):
            raise ValueError("the same host is listed twice")
        return hosts

    @field_validator("ssh_config", "known_hosts")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return home(path)

    @field_validator("secrets")
    @classmethod
    def _references(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, reference in secrets.items():
            source_reference(name, reference)
        return secrets

    @model_validator(mode="after")
    def _steps(self) -> Environment:
        if list(self.canary) != sorted(set(self.canary)):
            raise ValueError("canary: the shares must grow from step to step")
        if self.canary and not self.bake:
            raise ValueError("canary needs a bake: each step is judged for that long")
        return self

    @model_validator(mode="after")
    def _within(self) -> Environment:
        for host in self.accessory_hosts or ():
            if host not in self.hosts:
                written = ", ".join(self.hosts) or "none, which is this machine: leave accessory_hosts out, or say []"
                raise ValueError(f"accessory_hosts: {host!r} is none of its hosts as they are written ({written})")
        if self.https and not self.domain:
            raise ValueError(
                "https needs a domain: that is the name of its certificate. "
                "Where https is from [defaults], move it to the environments that have a domain"
            )
        return self

    def label(self, host: str) -> str:
        """A host as monitoring calls it: without user and port, unless it shares its name with another one."""
        named = host.rpartition("@")[2]
        name = named.partition(":")[0]
        others = {each.rpartition("@")[2] for each in self.hosts} - {named}
        return named if any(each.partition(":")[0] == name for each in others) else name

    @property
    def ports(self) -> frozenset[int]:
        """Where its proxy listens."""
        return frozenset(int(each.rpartition(":")[2]) for each in (self.http, self.https) if each)

    @property
    def architecture(self) -> str:
        """What its hosts are made of, where `platform` says it; else ""."""
        return self.platform.split("/")[1] if self.platform else ""

    @property
    def swarm(self) -> bool:
        return self.orchestrator == "swarm"

    @property
    def local(self) -> bool:
        return not self.hosts
