"""From the Compose file that people edit to the one that a release runs, and the checks in between."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portside import compose_yaml
from portside.config import Config, Environment
from portside.errors import ConfigError
from portside.interpolation import expanded, interpolated
from portside.release import Role

# Why each of these can't be in a release that runs beside the previous one.
REFUSED = {
    "build": "the image is built once, by `invoke build`",
    "container_name": "two releases run side by side, so names can't be fixed",
    "ports": "the proxy publishes the service; two releases can't listen on one port",
    "networks": "the engine puts every service on the environment's network",
    "network_mode": "the engine puts every service on the environment's network",
    "env_file": "set `env` and `secrets` of the environment in portside.toml",
    "extends": "a release is one file; use a YAML anchor",
    "privileged": "a release runs without capabilities",
}
DEEPEST = 50
# How long Docker waits for a container that is told to stop, where nothing else is said.
DEFAULT_GRACE = 10.0
DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
# Docker starts what has one of these at its own next start, even what was stopped: after a reboot, a retired release.
ALWAYS = ("always", "any")


class _Part(BaseModel):
    """The keys of a Compose service that the engine itself acts on; the rest is passed through."""

    model_config = ConfigDict(frozen=True, extra="allow")


class _UpdateConfig(_Part):
    order: Literal["start-first", "stop-first"] = "start-first"


class _Deploy(_Part):
    replicas: int = Field(default=1, ge=0, le=64)
    update_config: _UpdateConfig = _UpdateConfig()


class _Running(_Part):
    """How a service runs. A file that is only read may have variables here: this is what they have become."""

    stop_grace_period: str | float | None = None
    deploy: _Deploy = _Deploy()


class _Service(_Part):
    image: str | None = None
    stop_grace_period: str | float | None = None
    deploy: dict[str, Any] = {}
    volumes: list[str | dict[str, Any]] = []
    labels: dict[str, str | float | bool | None] | list[str] = {}
    profiles: list[str] = []


class ComposeFile(_Part):
    services: dict[str, _Service] = Field(min_length=1)
    volumes: dict[str, Any] | None = None


def read_compose(path: Path) -> dict[str, Any]:
    """The YAML mapping in `path`; ConfigError when it isn't a Compose file."""
    try:
        data = compose_yaml.load(path.read_text())
    except FileNotFoundError:
        raise ConfigError("not found", where=str(path), remedy="Correct service.compose in portside.toml.") from None
    # Besides errors of YAML and UTF-8: `!!int x` is no number, a file's name may hold a NUL.
    except (yaml.YAMLError, ValueError, TypeError, OSError, RecursionError) as error:
        raise ConfigError("not readable as YAML", where=str(path), why=str(error)) from None
    if _endless(data):
        raise ConfigError("not readable as YAML", where=str(path), why="an anchor is within itself, or all is too deep")
    try:
        ComposeFile.model_validate(data)
    except ValidationError as error:
        raise _no_compose_file(error, str(path)) from None
    return dict(data)


def _no_compose_file(error: ValidationError, where: str) -> ConfigError:
    problems = [f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}" for problem in error.errors()]
    return ConfigError("not a Compose file", where=where, why="\n".join(problems))


def _endless(data: Any, depth: int = 0) -> bool:
    """Whether `data` is deeper than any Compose file: what holds itself is as deep as one looks."""
    if depth > DEEPEST:
        return True
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return any(_endless(value, depth + 1) for value in inner)


def roles(
    data: Mapping[str, Any], config: Config, environment: Environment, variables: Mapping[str, str]
) -> tuple[Role, ...]:
    """The services of a release with this environment's replica counts, and with `variables` put in."""
    where = str(config.service.compose)
    parsed = ComposeFile.model_validate(data).services
    services = {
        name: _running(service or {}, variables, f"{where}: services.{name}")
        for name, service in active_services(data).items()
    }
    if config.service.web not in services:
        raise ConfigError(
            f"there is no service {config.service.web!r}",
            where=where,
            why="One with `profiles` is left out of a release." if config.service.web in parsed else "",
            remedy="Name the service that gets traffic in service.web of portside.toml.",
        )
    unknown = sorted(set(environment.replicas) - set(services))
    if unknown:
        raise ConfigError(
            f"replicas names {', '.join(unknown)}, which {where} doesn't have",
            where=f"portside.toml: env.{environment.name}.replicas",
            remedy=f"It has: {', '.join(services)}.",
        )
    found = tuple(
        Role(
            name=name,
            replicas=environment.replicas.get(name, service.deploy.replicas),
            stop_first=service.deploy.update_config.order == "stop-first",
            grace=_seconds(service.stop_grace_period),
        )
        for name, service in services.items()
    )
    web = next(role for role in found if role.name == config.service.web)
    if web.stop_first or web.replicas < 1:
        raise ConfigError(
            "the service that gets traffic must start first and have at least one replica",
            where=f"{where}: services.{web.name}.deploy",
            remedy="Remove update_config.order and set replicas to 1 or more.",
        )
    return found


def _running(service: Mapping[str, Any], variables: Mapping[str, str], where: str) -> _Running:
    given = {key: service[key] for key in _Running.model_fields if key in service}
    try:
        return _Running.model_validate(interpolated(given, variables, where))
    except ValidationError as error:
        raise _no_compose_file(error, where) from None


def active_services(data: Mapping[str, Any]) -> dict[str, Any]:
    """Those that Compose starts without being asked for a profile."""
    return {name: service for name, service in data["services"].items() if not (service or {}).get("profiles")}


def standing_services(data: Mapping[str, Any], variables: Mapping[str, str], where: str) -> tuple[str, ...]:
    """The active ones that have a container at all: `scale` or `deploy.replicas` may be 0, and a variable."""
    found = []
    for name, service in active_services(data).items():
        counts = [service.get("scale"), service.get("deploy", {}).get("replicas")]
        if "0" not in map(str, interpolated(counts, variables, f"{where}: services.{name}")):
            found.append(name)
    return tuple(found)


def _seconds(grace: str | float | None) -> float:
    """What a duration of the Compose specification is in seconds, 10 where there is none; Compose checks its form.

    https://github.com/compose-spec/compose-spec/blob/main/11-extension.md#specifying-durations
    """
    if grace is None:
        return DEFAULT_GRACE
    parts = DURATION.findall(str(grace))
    return sum(float(number) * UNITS[unit] for number, unit in parts) if parts else DEFAULT_GRACE


def render(
    data: Mapping[str, Any],
    config: Config,
    environment: Environment,
    *,
    image: str,
    release: str,
    variables: Mapping[str, str],
    handed: Collection[str],
    configs: Mapping[str, str],
) -> str:
    """The Compose file of one release, complete: pinned image, env file, networks, labels, configs (name to file).

    `variables` are what `${NAME}` may stand for; secrets are not among them, because this text is not secret.
    `handed` are the names in the env file. Raises ConfigError for whatever a release can't have.
    """
    site = config.site(environment)
    services: dict[str, Any] = {}
    counts = {role.name: role.replicas for role in roles(data, config, environment, variables)}
    for name, service in released_services(data, variables, str(config.service.compose)).items():
        web = name == config.service.web
        rendered = _stays_stopped(without_handed(service, handed))
        rendered["image"] = rendered.get("image") or image
        rendered["pull_policy"] = "never"
        rendered["env_file"] = ["env"]
        rendered["networks"] = {"default": {}, **({"portside": {}} if web else {})}
        rendered["labels"] = named_labels(rendered.get("labels", {})) | {
            "dev.portside.site": site,
            "dev.portside.service": config.service.name,
            "dev.portside.env": environment.name,
            "dev.portside.release": release,
        }
        rendered["deploy"] = {**rendered.get("deploy", {}), "replicas": counts[name]}
        services[name] = rendered
    return compose_yaml.dump(
        {
            "services": services,
            "networks": {
                "default": {"name": site, "external": True},
                "portside": {"external": True},
            },
            **({"configs": {name: {"file": f"./{file}"} for name, file in configs.items()}} if configs else {}),
        }
    )


def images(data: Mapping[str, Any], variables: Mapping[str, str], where: str) -> tuple[str, ...]:
    """The images that a Compose file names itself, with `variables` put in."""
    services = ComposeFile.model_validate(data).services
    found = {
        expanded(services[name].image or "", variables, f"{where}: services.{name}.image")
        for name in active_services(data)
    }
    return tuple(sorted(found - {""}))


def released_services(data: Mapping[str, Any], variables: Mapping[str, str], where: str) -> dict[str, Any]:
    """The services of a release with `variables` put in; ConfigError for what none can have, whoever runs it."""
    _refuse(data, where)
    services = {
        name: interpolated(service or {}, variables, f"{where}: services.{name}")
        for name, service in active_services(data).items()
    }
    for name, service in services.items():
        _refuse_volumes(service.get("volumes", []), f"{where}: services.{name}.volumes")
    return services


def without_handed(service: Mapping[str, Any], handed: Collection[str]) -> dict[str, Any]:
    """`service` without the names in its `environment` that the env file has a value for, which they would hide."""
    given = service.get("environment")
    if isinstance(given, dict):
        left: Any = {name: value for name, value in given.items() if value is not None or name not in handed}
    elif isinstance(given, list):
        left = [entry for entry in given if not isinstance(entry, str) or entry not in handed]
    else:
        return dict(service)
    return {**service, "environment": left}


def _stays_stopped(service: Mapping[str, Any]) -> dict[str, Any]:
    """`service` with a restart policy that leaves what was stopped as it is."""
    found = dict(service)
    if found.get("restart") in ALWAYS:
        found["restart"] = "unless-stopped"
    policy = found.get("deploy", {}).get("restart_policy")
    # Compose heeds this one before the other.
    if isinstance(policy, dict) and policy.get("condition") in ALWAYS:
        found["deploy"] = {**found["deploy"], "restart_policy": {**policy, "condition": "unless-stopped"}}
    return found


def _refuse(data: Mapping[str, Any], where: str) -> None:
    parsed = ComposeFile.model_validate(data)
    if parsed.volumes:
        raise ConfigError(
            f"named volumes are refused in a release: {', '.join(parsed.volumes)}",
            where=f"{where}: volumes",
            why="Two releases run side by side and the old one is removed later: data in a volume of theirs "
            "would be shared by both or lost with one.",
            remedy="Move the service that owns the data to the accessories file, or use tmpfs for scratch space.",
        )
    for name, service in active_services(data).items():
        for key, why in REFUSED.items():
            if service and key in service:
                raise ConfigError(f"{key} is refused in a release", where=f"{where}: services.{name}", why=why)


def _refuse_volumes(volumes: list[str | dict[str, Any]], where: str) -> None:
    for volume in volumes:
        if isinstance(volume, str):
            # A container's path alone makes a volume without a name, which its container leaves behind.
            source, between, _ = volume.partition(":")
            kept = bool(between) and source.startswith("/")
        else:
            source = str(volume.get("source", ""))
            kept = volume.get("type") == "tmpfs" or source.startswith("/")
        if not kept:
            raise ConfigError(
                f"volume {source!r} is refused in a release",
                where=where,
                why="Volumes of Docker's and relative paths don't survive the release that made them.",
                remedy="Mount an absolute path of the host, use tmpfs, or move the service to the accessories.",
            )


def named_labels(labels: dict[str, Any] | list[str]) -> dict[str, Any]:
    """A Compose file's labels by name, in whichever of the two ways they are written."""
    if isinstance(labels, dict):
        return dict(labels)
    return {name: value for name, _, value in (label.partition("=") for label in labels)}
