"""portside.toml as frozen models. Every error names the file, the key, the value and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from portside.errors import ConfigError

FILE = "portside.toml"
# Environments that a command made for itself (`invoke lab-up`, `invoke demo`) are kept beside the cache.
GENERATED = Path(".portside/environments")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Listen = Annotated[str, StringConstraints(pattern=r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}$")]
Address = Annotated[str, StringConstraints(pattern=r"^([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$")]
Retention = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}[hdwy]$")]
Percent = Annotated[float, Field(gt=0, lt=100)]
ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][\w./:@-]*$")]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Service(Model):
    """What is shipped. `port` and `readiness` are where the web service answers inside its container."""

    name: Name
    compose: Path = Path("compose/app.yaml")
    accessories: Path | None = None
    web: Name = "web"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    readiness: Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")] = "/readiness"
    private_paths: tuple[str, ...] = ("/metrics",)
    before_switch: tuple[str, ...] = ()
    before_switch_deadline: Seconds = 300


class Images(Model):
    builder: ImageReference = "python:3.13-slim-trixie"
    runtime: ImageReference = "gcr.io/distroless/python3-debian13:nonroot"
    proxy: ImageReference = "caddy:2.11"


class Build(Model):
    context: Path = Path()
    dockerfile: Path = Path("Dockerfile")
    ca_bundle: Path | None = None
    args: dict[str, str] = {}


class Environment(Model):
    """One place to release to. Times are in seconds.

    `env` values may name a secret as `${NAME}`; such a value is then treated as a secret itself.
    `secrets` maps a name to `source:reference`, see portside/secrets.
    """

    name: Name
    hosts: tuple[str, ...] = ()
    accessory_hosts: tuple[str, ...] | None = None
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    registry: str = "none"
    platform: str | None = None
    http: Listen = "127.0.0.1:8080"
    https: Listen | None = None
    domain: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")] | None = None
    tls: Literal["acme", "internal"] = "acme"
    replicas: dict[Name, Annotated[int, Field(ge=0, le=64)]] = {}
    env: dict[EnvName, str] = {}
    secrets: dict[EnvName, str] = {}
    keep: Annotated[int, Field(ge=2, le=100)] = 5
    bake: Seconds = 10
    keep_warm: bool = False
    confirm: bool = False
    connect_deadline: Seconds = 15
    start_deadline: Seconds = 60
    drain_deadline: Seconds = 30
    transfer_deadline: Seconds = 900
    lock_ttl: Annotated[int, Field(ge=5, le=3600)] = 30
    min_disk_mb: int = 500
    min_memory_mb: int = 128

    @field_validator("hosts")
    @classmethod
    def _destinations(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            _destination(host)
        if len(set(hosts)) != len(hosts):
            raise ValueError("the same host is listed twice")
        return hosts

    @field_validator("ssh_config", "known_hosts")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @field_validator("secrets")
    @classmethod
    def _references(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, reference in secrets.items():
            _source(name, reference)
        return secrets

    @property
    def local(self) -> bool:
        return not self.hosts


class Slo(Model):
    """What the service promises over 30 days, in per cent. `latency_threshold` is in seconds."""

    availability: Percent = 99.9
    latency: Percent = 99.0
    latency_threshold: Annotated[float, Field(gt=0)] = 0.5


# What each kind of receiver takes besides what all take.
RECEIVER_KEYS: dict[str, tuple[str, ...]] = {
    "slack": ("channel",),
    "pagerduty": (),
    "email": ("to", "from", "smarthost", "username"),
    "webhook": (),
}


class Receiver(Model):
    """Who is told of alerts. `secret` is a reference as in an environment's secrets: a URL, a key or a password.

    A webhook with `severities = ["none"]` is a heartbeat: it gets the Watchdog, and nothing else.
    """

    kind: Literal["slack", "pagerduty", "email", "webhook"]
    secret: str | None = None
    severities: Annotated[tuple[Literal["critical", "warning", "none"], ...], Field(min_length=1)] = (
        "critical",
        "warning",
    )
    envs: tuple[Name, ...] = ()
    channel: Annotated[str, StringConstraints(pattern=r"^[#@]?[\w.-]+$")] | None = None
    to: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    from_: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")] | None = Field(None, alias="from")
    smarthost: Address | None = None
    username: str | None = None

    @field_validator("secret")
    @classmethod
    def _reference(cls, secret: str | None) -> str | None:
        return None if secret is None else _source("secret", secret)

    @model_validator(mode="after")
    def _complete(self) -> Receiver:
        given = {"from" if name == "from_" else name for name in self.model_fields_set}
        for key in sorted(given & {key for keys in RECEIVER_KEYS.values() for key in keys}):
            if key not in RECEIVER_KEYS[self.kind]:
                raise ValueError(f"{key} is no key of kind {self.kind}")
        needed = {"to", "from", "smarthost"} if self.kind == "email" else {"secret"}
        if self.kind == "email" and given & {"secret", "username"}:
            needed |= {"secret", "username"}
        if needed - given:
            raise ValueError(f"kind {self.kind} also needs {', '.join(sorted(needed - given))}")
        if "none" in self.severities and (self.kind != "webhook" or len(self.severities) > 1):
            raise ValueError('severities = ["none"] is for a heartbeat: a webhook that gets nothing else')
        return self


class Observe(Model):
    """The central monitoring stack: where it runs, what it opens, how long it remembers."""

    host: str | None = None
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    grafana: Listen = "127.0.0.1:3000"
    prometheus: Listen = "127.0.0.1:9090"
    alertmanager: Listen = "127.0.0.1:9093"
    ingest: Listen | None = None
    ingest_address: Address | None = None
    retention: Retention = "35d"
    log_retention: Retention = "7d"
    runbooks: str = "docs/runbooks"
    start_deadline: Seconds = 120
    slo: Slo = Slo()
    receivers: dict[Name, Receiver] = {}

    @field_validator("host")
    @classmethod
    def _reachable(cls, host: str | None) -> str | None:
        return _destination(host) if host is not None else None

    @field_validator("ssh_config", "known_hosts")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @model_validator(mode="after")
    def _addressed(self) -> Observe:
        if (self.ingest is None) != (self.ingest_address is None):
            raise ValueError("ingest and ingest_address go together: where it listens, and what other hosts call it")
        return self


class Config(Model):
    """The whole of portside.toml, each environment already merged over [defaults]."""

    root: Path
    service: Service
    images: Images = Images()
    build: Build = Build()
    observe: Observe = Observe()
    env: dict[Name, Environment]

    def environment(self, name: str) -> Environment:
        """The environment called `name`; ConfigError with the names there are otherwise."""
        if name not in self.env:
            raise ConfigError(
                f"there is no environment {name!r}",
                where=f"{FILE}: --env",
                remedy=f"Use one of: {', '.join(sorted(self.env))}"
                + (
                    "; `invoke lab-up` makes the hosts of `--env lab` first."
                    if name == "lab"
                    else f", or add [env.{name}]."
                ),
            )
        return self.env[name]

    def site(self, environment: Environment) -> str:
        """The name under which a service's environment lives on a host."""
        return f"{self.service.name}-{environment.name}"


def _destination(host: str) -> str:
    if not re.fullmatch(r"([\w.-]+@)?[\w.-]+(:\d{1,5})?", host):
        raise ValueError(f"{host!r} is not an SSH destination like user@host or user@host:port")
    return host


def _source(name: str, reference: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+:.+", reference):
        raise ValueError(f"{name} needs `source:reference`, for instance `env:{name.upper()}`")
    return reference


def load_config(root: Path) -> Config:
    """Read portside.toml in `root`, and the environments that commands generated beside it."""
    data = _read(root / FILE)
    defaults = _table(data, "defaults", root / FILE)
    data.pop("defaults", None)
    environments = dict(_table(data, "env", root / FILE))
    for generated in sorted((root / GENERATED).glob("*.toml")):
        environments |= _table(_read(generated), "env", generated)
    data["env"] = {name: _resolved(name, environments, defaults) for name in environments}
    try:
        config = Config.model_validate({"root": root, **data})
    except ValidationError as error:
        raise _explained(error) from None
    for name, receiver in config.observe.receivers.items():
        for env in set(receiver.envs) - set(config.env):
            raise ConfigError(
                f"there is no environment {env!r}",
                where=f"{FILE}: observe.receivers.{name}.envs",
                remedy=f"Use some of: {', '.join(sorted(config.env))}.",
            )
    return config


def _resolved(name: str, environments: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """One environment over the one it extends, over the defaults."""
    table = environments[name]
    if not isinstance(table, dict):
        return table
    table = dict(table)
    parent = table.pop("extends", None)
    if parent is None:
        return _merged(defaults, table) | {"name": name}
    parent_table = environments.get(parent) if isinstance(parent, str) else None
    if not isinstance(parent_table, dict) or "extends" in parent_table:
        raise ConfigError(
            f"{parent!r} can't be extended",
            where=f"{FILE}: env.{name}.extends",
            remedy="Name an environment of this file that doesn't extend another itself.",
        )
    return _merged(_merged(defaults, parent_table), table) | {"name": name}


def _merged(defaults: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """An environment over the defaults: tables are merged one level deep, everything else is replaced."""
    merged = dict(defaults)
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | value
        else:
            merged[key] = value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            "not found", where=str(path), remedy="Run invoke in the folder that holds portside.toml."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError("not readable as TOML", where=str(path), why=str(error)) from None


def _table(data: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key} must be a table", where=str(path), remedy=f"Write [{key}] and its keys below it.")
    return table


def _explained(error: ValidationError) -> ConfigError:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        value = problem["input"]
        # env.<environment>.env and .secrets, and a receiver's, may hold what nobody should read in a CI log.
        private = len(problem["loc"]) > 2 and (
            problem["loc"][2] in ("env", "secrets") or problem["loc"][-1] == "secret"
        )
        shown = "" if isinstance(value, dict) or private else f" (it is {value!r})"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "no such key"
        lines.append(f"{key}: {message}{shown}")
    return ConfigError(
        "a setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong",
        where=FILE,
        why="\n".join(lines),
        remedy="All keys with their types and defaults: docs/configuration.md",
    )
