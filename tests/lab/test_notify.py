"""Who is told of releases, told by real ones: released, failed, undone, rolled back, and what a dead deployer left."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.holds import free, held, wait_held
from tests.lab.inbox import Inbox
from tests.lab.project import Project, wait_until

pytestmark = pytest.mark.pipeline

DROP = ("OUTPUT", "-p", "tcp", "--dport", "8000", "-j", "DROP")


@pytest.fixture
def inbox(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    inbox = Inbox()
    monkeypatch.setenv("HOOK", f"{inbox.address}/hook")
    project.notify["hook"] = {"kind": "webhook", "secret": "env:HOOK"}
    yield inbox
    inbox.close()


def told(inbox: Inbox) -> dict[str, Any]:
    """The last message."""
    return inbox.at("/hook")[-1]


def test_a_deploy_a_failed_and_an_undone_one_and_a_rollback_each_arrive(project: Project, inbox: Inbox) -> None:
    # Nobody listens there. It fails nothing, and is said.
    project.notify["broken"] = {"kind": "slack", "secret": "generated:NOT_A_URL"}
    project.invoke("plan", "--env", "lab", "--image", project.image(), code=2)
    deployed = project.deploy().data
    first = deployed["release"]
    (host,) = (each.name for each in project.hosts)
    assert (told(inbox)["kind"], told(inbox)["release"], told(inbox)["previous"]) == ("released", first, None)
    assert (told(inbox)["hosts"], told(inbox)["env"]) == ([host], "lab")
    assert told(inbox)["seconds"] > 0
    (note,) = deployed["notes"]
    assert note.startswith("slack notifier broken was not told (released): its secret is no URL")

    assert project.deploy().data["outcome"] == "unchanged"
    assert len(inbox.at("/hook")) == 1, "neither the plan nor what changed nothing is told"

    project.environment["start_deadline"] = 3
    project.shell(project.hosts[0], "iptables", "-I", *DROP)
    try:
        failed = project.deploy(image=project.image("2"), code=7).data
    finally:
        project.shell(project.hosts[0], "iptables", "-D", *DROP)
    assert failed["seconds"]["start"] < 60, "a port that drops packets is not waited for"
    assert (told(inbox)["kind"], told(inbox)["previous"]) == ("failed", first)
    assert "not ready in time" in told(inbox)["reason"]
    assert len(failed["notes"]) == 1
    project.environment["start_deadline"] = 20

    project.environment["env"] = {"EXIT_AFTER": "2"}
    project.environment["bake"] = 15
    undone = project.deploy(image=project.image("2"), code=7).data
    assert (told(inbox)["kind"], told(inbox)["release"]) == ("undone", undone["release"])
    assert "web-1 is" in told(inbox)["reason"] or "restarted" in told(inbox)["reason"]
    assert "the stars are right" not in told(inbox)["text"], "log lines stay on the terminal"
    assert told(inbox)["next"] == "invoke deploy --env lab"

    project.environment.update(env={"GREETING": "hello"}, bake=0)
    second = project.deploy(image=project.image("2")).data["release"]
    project.invoke("rollback", "--env", "lab", "--json")
    back = told(inbox)
    assert (back["kind"], back["release"], back["previous"]) == ("rolled-back", first, second)
    assert [each["kind"] for each in inbox.at("/hook")] == ["released", "failed", "undone", "released", "rolled-back"]


def test_the_end_of_what_a_dead_deployer_left_is_told(project: Project, inbox: Inbox) -> None:
    first = project.deploy().data["release"]
    project.environment.update(bake=1, lock_ttl=5)
    host = project.hosts[0]
    with held(project, host, "bake", "begin"):
        deploying = project.start("deploy", "--env", "lab", "--json", "--image", project.image("2"))
        wait_held(project, host)
        os.killpg(deploying.pid, signal.SIGKILL)
        deploying.communicate(timeout=60)
        free(project, host)
    wait_until(lambda: not project.locked(project.hosts[0]), what="the dead deployer's lock to go")
    assert len(inbox.at("/hook")) == 1, "it was in no state to tell"
    assert "was undone" in project.invoke("status", "--env", "lab", "--json").data["recovered"]
    end = told(inbox)
    assert (end["kind"], end["previous"], end["seconds"]) == ("undone", first, None)
    assert end["reason"].startswith("its deployer left it behind in bake; undone by ")
    project.invoke("status", "--env", "lab", "--json")
    assert len(inbox.at("/hook")) == 2


def test_the_lock_doesn_t_wait_for_a_notifier_that_hangs(
    project: Project, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SILENT", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        project.notify["silent"] = {"kind": "slack", "secret": "env:SILENT"}
        deploying = project.start("deploy", "--env", "lab", "--json", "--image", project.image())
        wait_until(lambda: inbox.at("/hook") and not project.locked(project.hosts[0]), what="the release to be over")
        assert deploying.poll() is None, "it still waits for the other one"
    # Nobody listens any more, so it is over with that one too.
    _, err = deploying.communicate(timeout=15)
    assert deploying.returncode == 0, err
    assert "slack notifier silent was not told (released)" in err
