"""Whatever kills the deployer, in whichever phase: what was begun is undone or finished, and the lock is free."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal

import httpx
import pytest

from portside.lab.values import LabHost
from tests.lab.faults import disconnect, reconnect
from tests.lab.holds import free, held, wait_held
from tests.lab.project import Project, ships_in_all_phases, wait_until

PHASES = ("prepare", "before-switch", "start", "switch", "bake")
COMMITTED = ("commit", "retire")


@pytest.fixture
def shipping(fleet: Project) -> Project:
    ships_in_all_phases(fleet)
    return fleet


def one_release_serves(project: Project, release: str) -> None:
    """Invariant 1, on every host: this release answers, its containers run, nothing else does, the record agrees."""
    for host in project.hosts:
        assert httpx.get(project.url(host)).json()["release"] == release
        running = project.containers(host)
        assert len(running) == 3, running
        current = json.loads(project.shell(host, "cat", project.site("current.json")))
        assert current["release"] == release
        (watched,) = json.loads(project.shell(host, "cat", "/home/deploy/.portside/targets/tiny-lab.json"))
        assert watched["labels"]["release"] == release, "monitoring is told the same"
        assert watched["targets"] == [f"{name}:8000" for name in running if "-web-" in name]
        wait_until(
            lambda host=host: not project.shell(host, "bash", "-c", f"ls {project.site('lock')} | grep holder || true"),
            what=f"the lock of {host.name} to be free",
        )


def undone(project: Project, host: LabHost) -> int:
    """How many undone releases a host tells monitoring of."""
    text = project.shell(host, "cat", "/home/deploy/.portside/metrics/tiny-lab.prom")
    (line,) = [line for line in text.splitlines() if 'kind="undo"' in line]
    return int(line.rpartition(" ")[2])


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("phase", PHASES)
def test_who_is_told_to_end_before_the_commit_undoes(shipping: Project, phase: str, at: str) -> None:
    """By SIGTERM, or as a CI does it: Ctrl-C, then SIGTERM, which must not end the undo."""
    first = shipping.deploy().data["release"]
    host = shipping.hosts[0] if phase == "before-switch" else shipping.hosts[1]
    with held(shipping, host, phase, at):
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
        wait_held(shipping, host)
        for number in (signal.SIGTERM,) if at == "begin" else (signal.SIGINT, signal.SIGTERM):
            os.killpg(deploying.pid, number)
        free(shipping, host)
        out, err = deploying.communicate(timeout=60)
    assert deploying.returncode == 130, err
    assert "Traceback" not in out + err
    one_release_serves(shipping, first)


def test_ctrl_c_in_a_migration_that_goes_on_ends_it(shipping: Project) -> None:
    first = shipping.deploy().data["release"]
    shipping.service["before_switch"] = ["-c", "import time; time.sleep(300)"]
    host = shipping.hosts[0]
    deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
    hook = ("docker", "ps", "--quiet", "--filter", "name=tiny-lab-hook")
    wait_until(lambda: shipping.shell(host, *hook), seconds=60, what="the hook to run")
    os.killpg(deploying.pid, signal.SIGINT)
    _, err = deploying.communicate(timeout=60)
    assert deploying.returncode == 130, err
    assert shipping.shell(host, *hook) == ""
    one_release_serves(shipping, first)


def test_what_a_failed_migration_said_is_told(shipping: Project) -> None:
    shipping.service["before_switch"] = ["-c", "raise SystemExit('column visits is there already')"]
    failed = shipping.deploy(image=shipping.image("2"), code=7).data
    assert "the before-switch hook ended with exit code 1" in failed["why"]
    assert "column visits is there already" in failed["why"]


@pytest.mark.parametrize("phase", COMMITTED)
def test_ctrl_c_after_the_commit_leaves_the_release(shipping: Project, phase: str) -> None:
    shipping.deploy()
    host = shipping.hosts[1]
    with held(shipping, host, phase, "begin"):
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
        wait_held(shipping, host)
        os.killpg(deploying.pid, signal.SIGINT)
        free(shipping, host)
        out, err = deploying.communicate(timeout=60)
    assert deploying.returncode == 130, err
    assert "Traceback" not in out + err
    status = shipping.invoke("status", "--env", "lab", "--json").data
    (released,) = {state["release"] for state in status["hosts"].values()}
    one_release_serves(shipping, released)


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("phase", [*PHASES, *COMMITTED])
def test_after_sigkill_the_next_command_recovers_and_says_how(shipping: Project, phase: str, at: str) -> None:
    first = shipping.deploy().data["release"]
    host = shipping.hosts[0] if phase == "before-switch" else shipping.hosts[1]
    with held(shipping, host, phase, at):
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
        wait_held(shipping, host)
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=60)
        free(shipping, host)
    answered = {httpx.get(shipping.url(each)).status_code for each in shipping.hosts}
    assert answered == {200}, "even before anybody looks"
    wait_until(
        lambda: not shipping.shell(host, "bash", "-c", f"ls {shipping.site('lock')} | grep holder || true"),
        what="the dead deployer's lock to go",
    )
    status = shipping.invoke("status", "--env", "lab", "--json")
    said = status.data["recovered"]
    releases = {state["release"] for state in status.data["hosts"].values()}
    assert len(releases) == 1
    (serving,) = releases
    if phase in COMMITTED and (phase, at) != ("commit", "begin"):
        assert serving != first
    elif phase not in COMMITTED:
        assert serving == first
    if said:
        assert ("was finished" in said) == (serving != first)
        assert ("was undone" in said) == (serving == first)
    else:
        assert phase == "retire", "the step that was under way ended by itself"
    one_release_serves(shipping, serving)
    assert shipping.invoke("status", "--env", "lab", "--json").data["recovered"] == ""
    counted = [undone(shipping, each) for each in shipping.hosts]
    if serving == first:
        assert undone(shipping, host) == 1 and set(counted) <= {0, 1}, "once, however often it is repeated"
    else:
        assert set(counted) == {0}


def test_a_commit_that_outlives_its_deployer_is_finished_not_undone(shipping: Project) -> None:
    first = shipping.deploy().data["release"]
    with contextlib.ExitStack() as stack:
        for host in shipping.hosts:
            stack.enter_context(held(shipping, host, "commit", "begin"))
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
        for host in shipping.hosts:
            wait_held(shipping, host)
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=60)
        # No host has recorded anything yet, and all are about to.
        looking = shipping.start("status", "--env", "lab", "--json")
        wait_until(
            lambda: shipping.shell(shipping.hosts[0], "cat", shipping.site("lock/token")).strip() == "3",
            what="the next command to take the lock",
        )
        for host in shipping.hosts:
            free(shipping, host)
        out, err = looking.communicate(timeout=60)
    assert looking.returncode == 0, out + err
    assert "was finished" in json.loads(out)["recovered"]
    (released,) = {state["release"] for state in json.loads(out)["hosts"].values()}
    assert released != first
    one_release_serves(shipping, released)


def test_a_host_cut_off_in_the_middle_is_undone_when_it_is_back(shipping: Project) -> None:
    first = shipping.deploy().data["release"]
    lost = shipping.hosts[2]
    with held(shipping, lost, "start", "end"):
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image("2"))
        wait_held(shipping, lost)
        asyncio.run(disconnect(shipping.lab, lost))
        out, err = deploying.communicate(timeout=120)
        assert deploying.returncode == 8, out + err
        assert lost.name in out
        for host in shipping.hosts[:2]:
            assert httpx.get(shipping.url(host)).json()["release"] == first
            assert len(shipping.containers(host)) == 3
        assert shipping.invoke("status", "--env", "lab", "--json", code=4).data["unreachable"].keys() == {lost.name}
        asyncio.run(reconnect(shipping.lab, lost))
    wait_until(
        lambda: "was undone" in shipping.invoke("status", "--env", "lab", "--json").data["recovered"], seconds=60
    )
    one_release_serves(shipping, first)


def test_a_rollback_after_a_dead_deployer_goes_back_one_release_and_not_two(shipping: Project) -> None:
    first, second = (shipping.deploy(image=shipping.image(version)).data["release"] for version in "12")
    with held(shipping, shipping.hosts[1], "bake", "begin"):
        deploying = shipping.start("deploy", "--env", "lab", "--json", "--image", shipping.image())
        wait_held(shipping, shipping.hosts[1])
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=60)
    wait_until(lambda: shipping.invoke("rollback", "--env", "lab", "--json", code=None).code == 0, seconds=60)
    one_release_serves(shipping, second)
    shipping.invoke("rollback", "--env", "lab", "--json")
    one_release_serves(shipping, first)
