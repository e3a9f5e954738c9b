"""From the Compose file that people edit to the stack that a Swarm runs. Pure.

A slot is a stack, `<site>-blue` or `<site>-green`. Which of the two, `docker stack deploy` alone is told, by the
variable PORTSIDE_SLOT, so that the text is the same wherever the release goes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from portside import compose_yaml
from portside.compose import named_labels, released_services, roles, without_handed
from portside.config import Config, Environment
from portside.errors import ConfigError
from portside.release import Release

# Where the service finds a secret: Docker's own place.
SECRETS = "/run/secrets"
NAME_LIMIT = 64
# A task that ends within this many seconds of its start makes `docker stack deploy` and `docker service update` roll
# back; a release is watched by its own bake.
MONITOR = "5s"
# Why each of these can't be in a stack. `docker stack deploy` leaves them out, and names them in no error:
# UnsupportedProperties in docker/cli, cli/compose/types/types.go. What it doesn't know, `docker stack config` refuses;
# of that, the last two have another name in a stack.
NOT_PASSED_ON = "a Swarm doesn't pass it on to its nodes"
ONE_BY_NAME = "all services of a release reach each other by name, with nothing written"
REFUSED = {
    "cgroup_parent": NOT_PASSED_ON,
    "devices": NOT_PASSED_ON,
    "domainname": NOT_PASSED_ON,
    "external_links": ONE_BY_NAME,
    "ipc": NOT_PASSED_ON,
    "links": ONE_BY_NAME,
    "mac_address": NOT_PASSED_ON,
    "pid": NOT_PASSED_ON,
    "shm_size": "write tmpfs: /dev/shm:size=64m, which Compose and a Swarm both know",
    "userns_mode": NOT_PASSED_ON,
    "mem_limit": "write deploy.resources.limits.memory, which Compose and a Swarm both know",
    "cpus": "write deploy.resources.limits.cpus, which Compose and a Swarm both know",
}
# What only orders or protects a Compose project's start, and that a Swarm has its own way for: docs/scaling.md.
LEFT_OUT = ("depends_on", "security_opt", "restart", "tmpfs", "pull_policy")
# As the kernel reads it: https://docs.kernel.org/filesystems/tmpfs.html
SIZE = re.compile(r"([0-9]+)([kmg]?)", re.ASCII | re.IGNORECASE)
RESTARTS = {"no": "none", "on-failure": "on-failure"}


def object_name(site: str, name: str, digest: str) -> str:
    """The name of the Swarm secret or config of this value: another value has another name, an unchanged one the same.

    `digest` is the value's fingerprint (release.value_digests, say), which is what makes the name a version.
    """
    version = hashlib.sha256(f"{site}\0{name}\0{digest}".encode()).hexdigest()[:16]
    return f"{site}-{name}"[: NAME_LIMIT - len(version) - 1] + f"-{version}"


def render_stack(
    data: Mapping[str, Any],
    config: Config,
    environment: Environment,
    *,
    image: str,
    release: str,
    variables: Mapping[str, str],
    handed: Collection[str],
    lines: Mapping[str, str],
    secrets: Mapping[str, str],
    configs: Mapping[str, str],
) -> str:
    """The stack's file of one release: pinned image, env file, network, labels, secrets and configs.

    Of those two, `secrets` and `configs` have the Swarm object by name. `handed` are the names of all values, `lines`
    those that the env file can't have.

    Raises ConfigError for whatever a release can't have.
    """
    where = str(config.service.compose)
    site = config.site(environment)
    services: dict[str, Any] = {}
    counts = {role.name: role for role in roles(data, config, environment, variables)}
    for name, service in released_services(data, variables, where).items():
        rendered = without_handed(service, handed)
        at = f"{where}: services.{name}"
        _refuse(rendered, at)
        told = {
            "dev.portside.site": site,
            "dev.portside.service": config.service.name,
            "dev.portside.env": environment.name,
            "dev.portside.release": release,
        }
        services[name] = {
            **{key: value for key, value in rendered.items() if key not in LEFT_OUT},
            "image": rendered.get("image") or image,
            "env_file": ["env"],
            "environment": _environment(rendered.get("environment", {}))
            | {name: value.replace("$", "$$") for name, value in lines.items()}
            | {f"{secret}_FILE": f"{SECRETS}/{secret}" for secret in secrets},
            "networks": ["default"],
            "volumes": [*rendered.get("volumes", []), *_memory(rendered.get("tmpfs", []), f"{at}.tmpfs")],
            "secrets": [{"source": secret, "target": secret} for secret in secrets],
            # As Compose labels its own, so that whatever looks at a host's containers finds a Swarm's there as well.
            "labels": named_labels(rendered.get("labels", {}))
            | told
            | {
                "com.docker.compose.project": f"{site}-${{PORTSIDE_SLOT}}",
                "com.docker.compose.service": name,
            },
            "deploy": _deploy(
                rendered,
                # A stop-first service is started by the switch, when its predecessor has stopped.
                replicas=0 if counts[name].stop_first else counts[name].replicas,
                labels=told | {"dev.portside.replicas": str(counts[name].replicas)},
            ),
        }
    return compose_yaml.dump(
        {
            "services": services,
            "networks": {"default": {"name": site, "external": True}},
            "secrets": _external(secrets),
            "configs": _external(configs),
        }
    )


def render_hook(release: Release, command: tuple[str, ...]) -> str:
    """The stack of the before-switch hook: the web service as a job that runs once, with the same secrets."""
    stack = compose_yaml.load(release.compose)
    web = stack["services"][release.web]
    job = {key: value for key, value in web.items() if key not in ("labels", "healthcheck", "stop_grace_period")}
    job["command"] = [word.replace("$", "$$") for word in command]
    job["healthcheck"] = {"disable": True}
    kept = {key: value for key, value in web["deploy"].items() if key in ("resources", "placement")}
    job["deploy"] = {**kept, "mode": "replicated-job", "replicas": 1, "restart_policy": {"condition": "none"}}
    return compose_yaml.dump({**stack, "services": {"hook": job}})


def _external(objects: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: {"name": named, "external": True} for name, named in objects.items()}


def _refuse(service: Mapping[str, Any], where: str) -> None:
    for key, why in REFUSED.items():
        if key in service:
            raise ConfigError(f"{key} can't be had in a Swarm", where=where, why=why)
    mode = service.get("deploy", {}).get("mode", "replicated")
    if mode != "replicated":
        raise ConfigError(
            f"deploy.mode {mode} can't be released",
            where=where,
            why="A release counts its containers, and waits until all of them are ready.",
            remedy="Set replicas, and placement.max_replicas_per_node: 1 for one on each node.",
        )


def _environment(given: dict[str, Any] | list[str]) -> dict[str, Any]:
    if isinstance(given, dict):
        return dict(given)
    return {name: value if found else None for name, found, value in (entry.partition("=") for entry in given)}


def _memory(tmpfs: str | list[str], where: str) -> list[dict[str, Any]]:
    """Compose's `tmpfs` as the mounts that a stack has for it, which know a size and nothing else."""
    found = []
    for entry in [tmpfs] if isinstance(tmpfs, str) else tmpfs:
        path, _, options = entry.partition(":")
        size = next((option[5:] for option in options.split(",") if option.startswith("size=")), "")
        found.append({"type": "tmpfs", "target": path, **({"tmpfs": {"size": _bytes(size, where)}} if size else {})})
    return found


def _bytes(size: str, where: str) -> int:
    found = SIZE.fullmatch(size)
    if found is None:
        raise ConfigError(
            f"size={size} is no size that a Swarm's tmpfs can have",
            where=where,
            why="It has a number of bytes, and knows no share of a node's memory.",
            remedy="Write it in k, m or g, say size=64m.",
        )
    number, unit = found.groups()
    return int(number) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[unit.lower()]


def _deploy(service: Mapping[str, Any], *, replicas: int, labels: dict[str, str]) -> dict[str, Any]:
    given = service.get("deploy", {})
    condition = RESTARTS.get(str(service.get("restart", "always")).partition(":")[0], "any")
    return {
        "restart_policy": {"condition": condition, "delay": "1s"},
        "rollback_config": {"order": "start-first", "parallelism": 1},
        **given,
        "replicas": replicas,
        "labels": named_labels(given.get("labels", {})) | labels,
        # The proxy asks the tasks themselves, not an address that stands for all of them.
        "endpoint_mode": "dnsrr",
        "update_config": {
            "parallelism": 1,
            "order": "start-first",
            "failure_action": "rollback",
            "monitor": MONITOR,
            **given.get("update_config", {}),
        },
    }
