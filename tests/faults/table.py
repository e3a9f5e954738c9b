"""Everything that goes wrong: one line a fault in FAULTS, a small function for how, and one for how it is mended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from portside.command import run_command
from tests.faults.cases import COMMITTED, COMMITTING, MOMENTS, Case, Expected, Moment, moment
from tests.faults.scene import Scene
from tests.faults.traffic import Costs
from tests.lab import faults

Act = Callable[[Scene], Awaitable[None]]

DOCKER_SECONDS = 60.0
# A registry that is slow: nothing for so long, then a little, then nothing again.
SILENT_SECONDS, TALKING_SECONDS = 1.5, 0.3
FIRST_CONTAINERS = moment("start", "end")
# The image is there before the phase's script begins.
PULLS = moment("preflight", "end")
JUDGED_FIT = moment("preflight", "end")


@dataclass(frozen=True)
class Fault:
    """`expected` says how a release may end that this happens to; `costs` what can't be promised while it does.

    `heal` mends what doesn't mend itself. `happens` is False for a moment at which there is nothing to break. `pulls`:
    hosts get their image from the registry.
    """

    name: str
    inject: Act
    expected: Callable[[Moment], Expected]
    costs: Costs = "nothing"
    heal: Act | None = None
    happens: Callable[[Moment], bool] = lambda moment: True
    pulls: bool = False


# ---- how it is done


async def nothing(_: Scene) -> None:
    return None


async def kill_deployer(scene: Scene) -> None:
    os.killpg(scene.deployer.pid, signal.SIGKILL)


async def interrupt(scene: Scene) -> None:
    os.killpg(scene.deployer.pid, signal.SIGINT)


async def cut_off(scene: Scene) -> None:
    await faults.disconnect(scene.project.lab, scene.victim)


async def connect(scene: Scene) -> None:
    await faults.reconnect(scene.project.lab, scene.victim)


async def restart_docker(scene: Scene) -> None:
    await _engine("kill", "--signal=HUP", scene.victim.name)
    # Up is what it was before, too.
    await asyncio.sleep(0.5)
    await scene.up()


async def reboot(scene: Scene) -> None:
    await faults.reboot(scene.victim)


async def second_deployer(scene: Scene) -> None:
    scene.others.append(await asyncio.to_thread(scene.project.start, *scene.command))


async def registry_down(scene: Scene) -> None:
    await _engine("stop", "--time=0", scene.registry)


async def registry_up(scene: Scene) -> None:
    await _engine("start", scene.registry)


async def registry_slow(scene: Scene) -> None:
    async def throttle() -> None:
        while True:
            await faults.pause_container(scene.registry)
            await asyncio.sleep(SILENT_SECONDS)
            await _engine("unpause", scene.registry)
            await asyncio.sleep(TALKING_SECONDS)

    scene.tasks.append(asyncio.create_task(throttle()))


async def registry_quick(scene: Scene) -> None:
    for task in scene.tasks:
        task.cancel()
    await asyncio.gather(*scene.tasks, return_exceptions=True)
    await run_command(["docker", "unpause", scene.registry], timeout=DOCKER_SECONDS)


def on_victim(*arguments: str) -> Act:
    async def act(scene: Scene) -> None:
        await scene.on_victim(*arguments)

    return act


def to_new_containers(name: str) -> Act:
    """All of them while the old release stands behind; one when nothing does any more."""

    async def act(scene: Scene) -> None:
        count = 1 if scene.case.moment >= COMMITTED else 9
        await scene.on_victim("signal", name, scene.containers, str(count))

    return act


async def _engine(*arguments: str) -> None:
    (await run_command(["docker", *arguments], timeout=DOCKER_SECONDS)).check()


# ---- how a release may end


def stands(_: Moment) -> Expected:
    return "finished"


def once_committed(when: Moment) -> Expected:
    """Undone before the first host has committed, finished after it; at the commit itself, either."""
    return "undone" if when < COMMITTING else "either" if when == COMMITTING else "finished"


def fit_before(when: Moment) -> Expected:
    """It may have been noticed or not; what is committed stays."""
    return "either" if when < COMMITTED else "finished"


def undone(_: Moment) -> Expected:
    return "undone"


def told_before(when: Moment) -> Expected:
    """Refused where the host has told its time after the jump; a process that runs already keeps the time of before."""
    return "either" if when < JUDGED_FIT else "finished"


# ---- when there is something to break


def has_containers(when: Moment) -> bool:
    return when >= FIRST_CONTAINERS


def pulls(when: Moment) -> bool:
    return when <= PULLS


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("deployer killed", kill_deployer, once_committed),
        Fault("deployer interrupted", interrupt, once_committed),
        Fault("host cut off", cut_off, once_committed, "host", connect),
        Fault("SSH frozen", on_victim("freeze-ssh"), once_committed, heal=on_victim("thaw-ssh")),
        Fault("disk full", on_victim("fill-disk"), fit_before, heal=on_victim("empty-disk")),
        Fault("Docker's disk full", on_victim("fill-engine-disk"), fit_before, heal=on_victim("empty-engine-disk")),
        Fault("Docker restarted", restart_docker, fit_before, "host"),
        Fault("proxy killed", on_victim("kill-proxy"), stands, "host"),
        Fault("proxy lost", on_victim("lose-proxy"), stands, "host"),
        Fault("containers killed", to_new_containers("KILL"), fit_before, "in flight", happens=has_containers),
        Fault("out of memory", to_new_containers("USR1"), fit_before, "in flight", happens=has_containers),
        Fault("readiness flaps", to_new_containers("USR2"), fit_before, happens=has_containers),
        Fault("registry down", registry_down, undone, heal=registry_up, happens=pulls, pulls=True),
        Fault("registry slow", registry_slow, stands, heal=registry_quick, happens=pulls, pulls=True),
        Fault("clock ahead", on_victim("clock-ahead"), told_before, heal=on_victim("clock-right")),
        Fault("second deployer", second_deployer, stands),
        Fault("host rebooted", reboot, once_committed, "host"),
    )
}


def matrix(hosts: tuple[int, ...]) -> list[Case]:
    """Every case there is."""
    return [
        Case(when, fault.name, count)
        for count in hosts
        for when in MOMENTS
        for fault in FAULTS.values()
        if fault.happens(when)
    ]
