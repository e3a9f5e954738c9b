"""Docker's daemon.json: what it is to say, merged into what is there. Keys that people set themselves win."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FILE = "/etc/docker/daemon.json"
# Containers go on while the daemon is restarted or upgraded; a published port needs no process of its own; the log of
# one container can't fill the disk. The driver is Docker's own default: others read its files.
LIVE_RESTORE, USERLAND_PROXY, LOG_DRIVER, LOG_OPTS = "live-restore", "userland-proxy", "log-driver", "log-opts"
SWITCHED_ON = (LIVE_RESTORE, f"{LIVE_RESTORE}=true")
ROTATION = {"max-size": "10m", "max-file": "3"}
# What rotates by itself.
ROTATING = ("local",)


@dataclass(frozen=True)
class Daemon:
    """What daemon.json would be; `text` is "" where it is so already. `kept`: what people set and we would not.

    `live_restore`: containers go on without the daemon that has this file.
    """

    text: str = ""
    restart: bool = False
    live_restore: bool = True
    kept: tuple[str, ...] = ()


def merged(text: str, *, flags: Sequence[str] = (), swarm: bool = False) -> Daemon:
    """Our keys beside those that are there. `flags`: dockerd's own arguments, which may not say the same again.

    Raises ValueError where `text` is no JSON object.
    """
    there = parse(text)
    given = {flag.lstrip("-").partition("=")[0] for flag in flags}
    kept = []
    wanted: dict[str, Any] = dict(there)
    for key, value in ((LIVE_RESTORE, True), (USERLAND_PROXY, False)):
        if key == LIVE_RESTORE and swarm:
            kept.append("in a swarm the Engine refuses live-restore: containers stop when the daemon does")
        elif key in given:
            kept.append(f"dockerd is started with --{key}: left so")
        elif there.get(key, value) is not value:
            kept.append(f"{FILE} says {json.dumps(key)}: {json.dumps(there[key])}: left so")
        else:
            wanted[key] = value
    kept += _logs(wanted, given)
    live = wanted.get(LIVE_RESTORE) is True or any(flag.lstrip("-") in SWITCHED_ON for flag in flags)
    changed = {key for key in wanted if wanted[key] != there.get(key)}
    return Daemon(
        text=json.dumps(wanted, indent=2) + "\n" if changed else "",
        # Of these the daemon takes only live-restore without a restart.
        # https://docs.docker.com/reference/cli/dockerd/#configuration-reload-behavior
        restart=bool(changed - {LIVE_RESTORE}),
        live_restore=live and not swarm,
        kept=tuple(kept),
    )


def parse(text: str) -> dict[str, Any]:
    """daemon.json as a mapping; ValueError where it is none."""
    found = json.loads(text) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def rotates(there: dict[str, Any], flags: Sequence[str]) -> bool | None:
    """Whether the logs of new containers have an end; None where it is another driver's business, or a flag's."""
    driver = there.get(LOG_DRIVER, "json-file")
    if any(flag.lstrip("-").startswith(("log-driver", "log-opt")) for flag in flags):
        return None
    if driver in ROTATING:
        return True
    return "max-size" in (there.get(LOG_OPTS) or {}) if driver == "json-file" else None


def _logs(wanted: dict[str, Any], given: set[str]) -> list[str]:
    """Put rotation into `wanted`; what was left as people have it."""
    if given & {LOG_DRIVER, "log-opt"}:
        return ["dockerd is started with log options: left so"]
    driver = wanted.get(LOG_DRIVER, "json-file")
    if driver in ROTATING:
        return []
    if driver != "json-file":
        return [f"{FILE} sends logs to {driver}, which keeps or drops them by its own rules: left so"]
    wanted[LOG_DRIVER] = driver
    wanted[LOG_OPTS] = {**ROTATION, **(wanted.get(LOG_OPTS) or {})}
    return []
