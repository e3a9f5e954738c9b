"""Is every host fit for this release? Pure: from facts to a list of problems, all of them at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from portside.config import Environment
from portside.errors import PreflightError
from portside.facts import State
from portside.release import Image

# Engine 25 brought health check `start_interval` (API 1.44), Compose 2.20 made it and `deploy` complete.
MINIMUM_ENGINE = (25, 0)
MINIMUM_COMPOSE = (2, 20)
# In MiB. A release's files, its journal and the proxy's are less than one; the rest is for configuration files that
# come along, and for what the agent keeps while it can't send it.
MINIMUM_HOME = 50
# Past this, journals of several hosts can't be read side by side, and certificates stop working.
MAXIMUM_CLOCK_SKEW = 60
# What images call an architecture, and what the kernel calls it.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l"}
BOOTSTRAP = "Install it by hand, or type: invoke host-bootstrap --env {env}"


@dataclass(frozen=True)
class Problem:
    """One thing that makes a host unfit, and what mends it."""

    what: str
    remedy: str


def check(states: Mapping[str, State], environment: Environment, image: Image, *, now: float | None = None) -> None:
    """Raise PreflightError with every problem of every host (host name to state). Nothing has changed then.

    `image` may have to be stored on a host that lacks it, and has to run there.
    """
    now = time.time() if now is None else now
    found = [
        f"{host}: {problem.what}"
        for host, state in states.items()
        for problem in problems(state, environment, image, now=now)
    ]
    if found:
        raise PreflightError(
            f"{len(found)} problem{'s' if len(found) > 1 else ''} found before anything was changed",
            where=environment.name,
            why="\n".join(found),
            remedy=f"Mend them, or see more: invoke doctor --env {environment.name}",
        )


def problems(state: State, environment: Environment, image: Image | None = None, *, now: float) -> list[Problem]:
    """What makes one host unfit, all of it. `now` is this machine's clock, in seconds since the epoch."""
    machine = state.machine
    if machine is None:
        return [Problem("it did not describe itself", "Try again.")]
    found = []
    if not at_least(machine.engine, MINIMUM_ENGINE):
        needed = f"Docker Engine {_dotted(MINIMUM_ENGINE)} or newer is needed; it says: {machine.engine[:200]}"
        found.append(Problem(needed, BOOTSTRAP.format(env=environment.name)))
    if not at_least(machine.compose, MINIMUM_COMPOSE):
        needed = f"Docker Compose {_dotted(MINIMUM_COMPOSE)} or newer is needed; it says: {machine.compose[:200]}"
        found.append(Problem(needed, BOOTSTRAP.format(env=environment.name)))
    lacking = image is not None and state.image(image.reference) is None
    disk = environment.min_disk_mb + (image.size // 1_000_000 if image is not None and lacking else 0)
    if machine.docker_free_mb < disk:
        found.append(
            Problem(
                f"{machine.docker_free_mb} MB are free where Docker keeps images, {disk} MB are needed (min_disk_mb)",
                "Remove images that nothing uses there: docker image prune --all",
            )
        )
    # What is free to the same MB is one file system, and needs to be named once.
    named = machine.docker_free_mb < disk and machine.home_free_mb == machine.docker_free_mb
    if machine.home_free_mb < MINIMUM_HOME and not named:
        found.append(
            Problem(
                f"{machine.home_free_mb} MB are free in the deploy user's home, {MINIMUM_HOME} MB are needed for what "
                "a release writes down",
                "See what takes the room there: du -xh --max-depth 2 ~ | sort -h | tail",
            )
        )
    if machine.memory_mb < environment.min_memory_mb:
        found.append(
            Problem(
                f"{machine.memory_mb} MB of memory are free, {environment.min_memory_mb} MB are needed while two "
                "releases run side by side (min_memory_mb)",
                "Lower replicas or a memory limit, or give the host more memory.",
            )
        )
    skew = state.clock - now
    if abs(skew) > MAXIMUM_CLOCK_SKEW:
        what = f"its clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}: set up time synchronisation"
        found.append(Problem(what, "Type there, as root: timedatectl set-ntp true"))
    wanted = image.architecture if image else ""
    if wanted and machine.arch not in (wanted, MACHINES.get(wanted)):
        what = f"it is {machine.arch}, the image is for {wanted}"
        remedy = f'Set platform = "linux/{_architecture(machine.arch)}" in [env.{environment.name}].'
        found.append(Problem(what, remedy))
    return found


def at_least(version: str, minimum: tuple[int, int]) -> bool:
    parts = version.lstrip("v").split(".")
    try:
        return (int(parts[0]), int(parts[1])) >= minimum
    except (ValueError, IndexError):
        return False


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _architecture(machine: str) -> str:
    return next((name for name, known in MACHINES.items() if known == machine), machine)
