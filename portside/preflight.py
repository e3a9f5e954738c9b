"""Is every host fit for this release? Pure: from facts to a list of problems, all of them at once."""

from __future__ import annotations

import time
from collections.abc import Mapping

from portside.config import Environment
from portside.errors import PreflightError
from portside.facts import State

# Engine 25 brought health check `start_interval` (API 1.44), Compose 2.20 made it and `deploy` complete.
MINIMUM_ENGINE = (25, 0)
MINIMUM_COMPOSE = (2, 20)
# Past this, journals of several hosts can't be read side by side, and certificates stop working.
MAXIMUM_CLOCK_SKEW = 60


def check(states: Mapping[str, State], environment: Environment, *, image_mb: int, now: float | None = None) -> None:
    """Raise PreflightError with every problem of every host (host name to state). Nothing has changed then.

    `image_mb` is what may have to be stored on a host that lacks the image.
    """
    now = time.time() if now is None else now
    problems = [
        f"{host}: {problem}"
        for host, state in states.items()
        for problem in _problems(state, environment, image_mb, now)
    ]
    if problems:
        raise PreflightError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found before anything was changed",
            where=environment.name,
            why="\n".join(problems),
            remedy=f"Mend them, or see more: invoke doctor --env {environment.name}",
        )


def _problems(state: State, environment: Environment, image_mb: int, now: float) -> list[str]:
    machine = state.machine
    if machine is None:
        return ["it did not describe itself"]
    found = []
    if not _at_least(machine.engine, MINIMUM_ENGINE):
        found.append(f"Docker Engine {_dotted(MINIMUM_ENGINE)} or newer is needed; it says: {machine.engine[:200]}")
    if not _at_least(machine.compose, MINIMUM_COMPOSE):
        found.append(
            f"Docker Compose {_dotted(MINIMUM_COMPOSE)} or newer is needed; it says: {machine.compose[:200]}"
        )
    needed = environment.min_disk_mb + image_mb
    if machine.docker_free_mb < needed:
        found.append(f"{machine.docker_free_mb} MB are free where Docker keeps images, {needed} MB are needed")
    if machine.memory_mb < environment.min_memory_mb:
        found.append(
            f"{machine.memory_mb} MB of memory are free, {environment.min_memory_mb} MB are needed while two "
            "releases run side by side (min_memory_mb)"
        )
    skew = state.clock - now
    if abs(skew) > MAXIMUM_CLOCK_SKEW:
        found.append(
            f"its clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}: set up time synchronisation"
        )
    if environment.platform and not _runs(machine.arch, environment.platform):
        found.append(f"it is {machine.arch}, the image is for {environment.platform}")
    return found


def _at_least(version: str, minimum: tuple[int, int]) -> bool:
    parts = version.lstrip("v").split(".")
    try:
        return (int(parts[0]), int(parts[1])) >= minimum
    except (ValueError, IndexError):
        return False


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _runs(machine: str, platform: str) -> bool:
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}
    return platform.removeprefix("linux/") == names.get(machine, machine)
