"""Whatever kills the deployer, in whichever phase: what was begun is undone or finished, and the lock is free.

Two hosts, the one it happens on and another. A test goes on from the release that the one before it has left serving
alone: a start from nothing, thirty times, takes as long as all the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

import httpx
import pytest

from portside.lab.values import Lab, LabHost
from tests.lab.faults import disconnect, reconnect, repair_all
from tests.lab.holds import free, held, wait_held
from tests.lab.project import MIGRATES, Project, new_project, ships_in_all_phases, wait_until

PHASES = ("prepare", "before-switch", "start", "switch", "bake")
COMMITTED = ("commit", "retire")
# In turn at the beginning and at the end of a phase: the other moments are the fault matrix's (`nox -s faults`).
MOMENTS = tuple(zip((*PHASES, *COMMITTED), cycle(("end", "begin"))))
BEFORE_THE_COMMIT = MOMENTS[: len(PHASES)]
# A web container and a worker.
RUNNING = 2


@dataclass
class Shipping:
    """A project on two hosts, and the release that serves there with nothing beside it. "" is none that is known."""

    project: Project
    serving: str = ""
    greetings: Iterator[int] = field(default_factory=count)

    def next(self) -> None:
        """From now on, what the project says is another release."""
        self.project.environment["env"] = {"GREETING": str(next(self.greetings))}

    def deploy(self, code: int = 0) -> dict[str, Any]:
        self.next()
        return self.project.deploy(code=code).data

    def deploying(self) -> subprocess.Popen[str]:
        self.next()
        return self.project.start("deploy", "--env", "lab", "--json", "--image", self.project.image())

    def leave(self, release: str) -> None:
        """What every test ends with: `release` serves, and the next test may go on from there."""
        one_release_serves(self.project, release)
        self.serving = release


@pytest.fixture(scope="module")
def kept(lab: Lab, tiny_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Shipping:
    project = new_project(tmp_path_factory.mktemp("shipping"), lab, lab.hosts[:2], tiny_images)
    ships_in_all_phases(project)
    project.environment["replicas"] = {"web": 1}
    return Shipping(project)


@pytest.fixture
def first(kept: Shipping) -> str:
    """The release that serves: the one that the test before has left, or where that failed, a first one."""
    kept.project.service["before_switch"] = MIGRATES
    serving, kept.serving = kept.serving, ""
    if not serving:
        asyncio.run(repair_all(kept.project.lab, kept.project.hosts))
        serving = kept.deploy()["release"]
    return serving


def one_release_serves(project: Project, release: str) -> None:
    """Invariant 1, on every host: this release answers, its containers run, nothing else does, the record agrees."""
    for host in project.hosts:
        assert httpx.get(project.url(host)).json()["release"] == release
        running = project.containers(host)
        assert len(running) == RUNNING, running
        current = json.loads(project.shell(host, "cat", project.site("current.json")))
        assert current["release"] == release
        (watched,) = json.loads(project.shell(host, "cat", "/home/deploy/.portside/targets/tiny-lab.json"))
        assert watched["labels"]["release"] == release, "monitoring is told the same"
        assert watched["targets"] == [f"{name}:8000" for name in running if "-web-" in name]
        wait_until(lambda host=host: not project.locked(host), what=f"the lock of {host.name} to be free")


def held_at(shipping: Shipping, phase: str) -> LabHost:
    """Where a phase is held: migrations run on the first host only, everything else also on the second."""
    return shipping.project.hosts[0 if phase == "before-switch" else 1]


def undone(project: Project, host: LabHost) -> int:
    """How many undone releases a host tells monitoring of."""
    text = project.shell(host, "cat", "/home/deploy/.portside/metrics/tiny-lab.prom")
    (line,) = [line for line in text.splitlines() if 'kind="undo"' in line]
    return int(line.rpartition(" ")[2])


@pytest.mark.parametrize(
    ("phase", "at", "signals"),
    [
        *((phase, at, (signal.SIGINT,)) for phase, at in BEFORE_THE_COMMIT),
        # As a CI does it: the second one must not end the undo.
        ("switch", "end", (signal.SIGINT, signal.SIGTERM)),
        ("start", "begin", (signal.SIGTERM,)),
    ],
)
def test_who_is_told_to_end_before_the_commit_undoes(
    kept: Shipping, first: str, phase: str, at: str, signals: tuple[signal.Signals, ...]
) -> None:
    host = held_at(kept, phase)
    with held(kept.project, host, phase, at):
        deploying = kept.deploying()
        wait_held(kept.project, host)
        for number in signals:
            os.killpg(deploying.pid, number)
        free(kept.project, host)
        out, err = deploying.communicate(timeout=180)
    assert deploying.returncode == 130, err
    assert "Traceback" not in out + err
    said = json.loads(out)
    assert (said["outcome"], said["exit_code"]) == ("undone", 130)
    assert f"was undone; {first} serves as before" in err
    kept.leave(first)


def test_ctrl_c_in_a_migration_that_goes_on_ends_it(kept: Shipping, first: str) -> None:
    kept.project.service["before_switch"] = ["-c", "import time; time.sleep(300)"]
    host = kept.project.hosts[0]
    deploying = kept.deploying()
    hook = ("docker", "ps", "--quiet", "--filter", "name=tiny-lab-hook")
    wait_until(lambda: kept.project.shell(host, *hook), seconds=60, what="the hook to run")
    os.killpg(deploying.pid, signal.SIGINT)
    _, err = deploying.communicate(timeout=180)
    assert deploying.returncode == 130, err
    assert kept.project.shell(host, *hook) == ""
    kept.leave(first)


def test_what_a_failed_migration_said_is_told(kept: Shipping, first: str) -> None:
    kept.project.service["before_switch"] = ["-c", "raise SystemExit('column visits is there already')"]
    failed = kept.deploy(code=7)
    assert "the before-switch hook ended with exit code 1" in failed["why"]
    assert "column visits is there already" in failed["why"]
    kept.leave(first)


@pytest.mark.parametrize("phase", COMMITTED)
def test_ctrl_c_after_the_commit_leaves_the_release(kept: Shipping, first: str, phase: str) -> None:
    host = held_at(kept, phase)
    with held(kept.project, host, phase, "begin"):
        deploying = kept.deploying()
        wait_held(kept.project, host)
        os.killpg(deploying.pid, signal.SIGINT)
        free(kept.project, host)
        out, err = deploying.communicate(timeout=180)
    assert deploying.returncode == 130, err
    assert "Traceback" not in out + err
    said = json.loads(out)
    assert (said["outcome"], said["exit_code"]) == ("released", 130)
    assert f"release {said['release']} is committed and serves" in err
    status = kept.project.invoke("status", "--env", "lab", "--json").data
    (released,) = {state["release"] for state in status["hosts"].values()}
    assert released != first
    kept.leave(released)


@pytest.mark.parametrize(("phase", "at"), [*MOMENTS, ("commit", "begin")])
def test_after_sigkill_the_next_command_recovers_and_says_how(kept: Shipping, first: str, phase: str, at: str) -> None:
    project = kept.project
    before = [undone(project, each) for each in project.hosts]
    host = held_at(kept, phase)
    with held(project, host, phase, at):
        deploying = kept.deploying()
        wait_held(project, host)
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=180)
        free(project, host)
    answered = {httpx.get(project.url(each)).status_code for each in project.hosts}
    assert answered == {200}, "even before anybody looks"
    wait_until(lambda: not any(map(project.locked, project.hosts)), what="the dead deployer's lock to go")
    status = project.invoke("status", "--env", "lab", "--json")
    said = status.data["recovered"]
    (serving,) = {state["release"] for state in status.data["hosts"].values()}
    if phase in COMMITTED and (phase, at) != ("commit", "begin"):
        assert serving != first
    elif phase not in COMMITTED:
        assert serving == first
    if said:
        assert ("was finished" in said) == (serving != first)
        assert ("was undone" in said) == (serving == first)
    else:
        assert phase == "retire", "the step that was under way ended by itself"
    one_release_serves(project, serving)
    assert project.invoke("status", "--env", "lab", "--json").data["recovered"] == ""
    more = {each: undone(project, each) - earlier for each, earlier in zip(project.hosts, before, strict=True)}
    if serving == first:
        assert more[host] == 1 and set(more.values()) <= {0, 1}, "once, however often it is repeated"
    else:
        assert set(more.values()) == {0}
    kept.leave(serving)


def test_a_commit_that_outlives_its_deployer_is_finished_not_undone(kept: Shipping, first: str) -> None:
    project = kept.project

    def token() -> int:
        return int(project.shell(project.hosts[0], "cat", project.site("lock/token")))

    with contextlib.ExitStack() as stack:
        for host in project.hosts:
            stack.enter_context(held(project, host, "commit", "begin"))
        deploying = kept.deploying()
        for host in project.hosts:
            wait_held(project, host)
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=180)
        # No host has recorded anything yet, and all are about to.
        of_the_dead = token()
        wait_until(lambda: not any(map(project.locked, project.hosts)), what="the dead deployer's lock to go")
        looking = project.start("status", "--env", "lab", "--json")
        wait_until(lambda: token() == of_the_dead + 1, what="the next command to take the lock")
        for host in project.hosts:
            free(project, host)
        out, err = looking.communicate(timeout=180)
    assert looking.returncode == 0, out + err
    assert "was finished" in json.loads(out)["recovered"]
    (released,) = {state["release"] for state in json.loads(out)["hosts"].values()}
    assert released != first
    kept.leave(released)


def test_a_host_cut_off_in_the_middle_is_undone_when_it_is_back(kept: Shipping, first: str) -> None:
    project = kept.project
    present, lost = project.hosts
    with held(project, lost, "start", "end"):
        deploying = kept.deploying()
        wait_held(project, lost)
        asyncio.run(disconnect(project.lab, lost))
        out, err = deploying.communicate(timeout=180)
        assert deploying.returncode == 8, out + err
        assert lost.name in out
        assert httpx.get(project.url(present)).json()["release"] == first
        assert len(project.containers(present)) == RUNNING
        assert project.invoke("status", "--env", "lab", "--json", code=4).data["unreachable"].keys() == {lost.name}
        asyncio.run(reconnect(project.lab, lost))
    wait_until(lambda: "was undone" in project.invoke("status", "--env", "lab", "--json").data["recovered"], seconds=60)
    kept.leave(first)


def test_a_rollback_after_a_dead_deployer_goes_back_one_release_and_not_two(kept: Shipping, first: str) -> None:
    project = kept.project
    second = kept.deploy()["release"]
    with held(project, project.hosts[1], "bake", "begin"):
        deploying = kept.deploying()
        wait_held(project, project.hosts[1])
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=180)
    wait_until(lambda: project.invoke("rollback", "--env", "lab", "--json", code=None).code == 0, seconds=60)
    one_release_serves(project, second)
    project.invoke("rollback", "--env", "lab", "--json")
    kept.leave(first)
