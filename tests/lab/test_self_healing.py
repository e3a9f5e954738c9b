"""While the release before is warm, nobody is needed: it answers, and the next command says what to do."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest

from portside.lab.values import LabHost
from tests.faults.traffic import HostTraffic, added
from tests.lab.holds import holding, wait_held
from tests.lab.project import Project, ships_in_all_phases, wait_until

pytestmark = pytest.mark.judge

FLOWING_SECONDS = 60.0
# Of the first host's and the second's new containers: gone for good, for one that somebody has killed isn't started
# again; alive, and never ready any more.
ENDS = ("KILL", "HUP")


@pytest.fixture
def replicas() -> int:
    return 2


@pytest.fixture
def shipping(pair: Project) -> Project:
    ships_in_all_phases(pair)
    pair.environment["bake"] = 3
    return pair


async def die(project: Project, phase: str, at: str) -> None:
    """A release begins, and its deployer is killed when `phase` begins or ends on the last host."""
    host = project.hosts[-1]
    async with holding(project, host, phase, at):
        command = ("deploy", "--env", "lab", "--json", "--image", project.image("2"))
        deployer = await asyncio.to_thread(project.start, *command)
        await asyncio.to_thread(wait_held, project, host)
        os.killpg(deployer.pid, signal.SIGKILL)
        await asyncio.to_thread(deployer.communicate)


def end_new(project: Project) -> None:
    for host, signal_name in zip(project.hosts, ENDS, strict=True):
        names = [name for name in project.containers(host) if "green-web" in name]
        assert len(names) == 2
        project.shell(host, "docker", "kill", f"--signal={signal_name}", *names)


async def answered_by(project: Project, release: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for host in project.hosts:

            async def back(host: LabHost = host) -> bool:
                return bool((await client.get(project.url(host))).json()["release"] == release)

            async with asyncio.timeout(30):
                while not await back():
                    await asyncio.sleep(0.1)


@pytest.mark.parametrize(("phase", "at"), [("bake", "begin"), ("commit", "end")])
async def test_the_release_before_answers_every_read_until_somebody_comes(
    shipping: Project, phase: str, at: str
) -> None:
    first = (await asyncio.to_thread(shipping.deploy)).data["release"]
    await asyncio.to_thread(shipping.image, "2")
    traffic = [HostTraffic(shipping.url(host)) for host in shipping.hosts]
    for each in traffic:
        await each.begin()
    try:
        for each in traffic:
            await each.flows(FLOWING_SECONDS)
        await die(shipping, phase, at)
        await asyncio.to_thread(end_new, shipping)
        await asyncio.sleep(3)
        await asyncio.to_thread(told_and_mended, shipping, first, phase)
        await answered_by(shipping, first)
    finally:
        for each in traffic:
            await each.end()
    counts = added([each.counts("in flight") for each in traffic])
    assert {kind: count.failed for kind, count in counts.items() if count.failed} == {}, [
        failure for each in traffic for failure in each.failures()
    ]
    assert counts["GET"].sent > 100 and counts["slow GET"].sent > 0


def recovery(project: Project) -> dict[str, Any] | None:
    """What `status` says, once it no longer says that somebody may still be releasing."""
    status = project.invoke("status", "--env", "lab", "--json").data
    return None if status["next"].startswith("Somebody") else status


def told_and_mended(project: Project, first: str, phase: str) -> None:
    """What `status` says, and that doing it is enough."""
    status = wait_until(lambda: recovery(project), seconds=60, what="the dead deployer's lock to go")
    if phase == "bake":
        assert f"was undone; {first} serves, as before it" in status["recovered"]
        assert status["next"] == "invoke deploy --env lab"
        return
    assert "committed, but not fit to serve alone" in status["recovered"]
    assert f"{first} stands behind it and answers" in status["recovered"]
    assert status["next"] == "invoke rollback --env lab"
    refused = project.deploy(image=project.image("1"), code=5)
    assert "invoke rollback --env lab" in refused.data["remedy"]
    project.invoke(*status["next"].split()[1:])
    after = project.invoke("status", "--env", "lab", "--json").data
    assert (after["recovered"], after["next"]) == ("", "")
