"""The release lock: one deployer at a time, and none that is dead."""

from __future__ import annotations

import os
import signal
import time

from tests.lab.holds import free, held, wait_held
from tests.lab.project import Project, wait_until


def test_of_two_deploys_at_once_one_wins_and_the_other_says_who(pair: Project) -> None:
    image = pair.image()
    both = [pair.start("deploy", "--env", "lab", "--json", "--image", image) for _ in range(2)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in both]
    codes = sorted(code for _, code in ended)
    errors = "".join(err for (_, err), _ in ended)
    if codes == [0, 0]:  # the second came when the first had ended
        assert "unchanged" in "".join(out for (out, _), _ in ended)
    else:
        assert codes == [0, 6]
        assert "holds the release lock since" in errors
        assert "invoke unlock --env lab" in errors


def test_a_second_deploy_is_turned_away_while_the_first_is_at_it(pair: Project) -> None:
    image, host = pair.image(), pair.hosts[1]
    with held(pair, host, "start", "begin"):
        first = pair.start("deploy", "--env", "lab", "--json", "--image", image)
        wait_held(pair, host)
        second = pair.deploy(image=image, code=6)
        free(pair, host)
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert "deploy tiny:" in second.data["error"]


def test_a_frozen_deployer_loses_its_lease_and_can_do_nothing_more(pair: Project) -> None:
    before = pair.deploy().data["release"]
    pair.environment["lock_ttl"] = 5
    host = pair.hosts[1]
    with held(pair, host, "start", "end"):
        frozen = pair.start("deploy", "--env", "lab", "--json", "--image", pair.image("2"))
        wait_held(pair, host)
        del pair.environment["lock_ttl"]
        os.killpg(frozen.pid, signal.SIGSTOP)
        free(pair, host)
        time.sleep(6)
    third = pair.deploy(image=pair.image("3")).data
    os.killpg(frozen.pid, signal.SIGCONT)
    _, err = frozen.communicate(timeout=90)
    assert frozen.returncode != 0
    assert "was lost" in err
    status = pair.invoke("status", "--env", "lab", "--json").data
    assert {state["release"] for state in status["hosts"].values()} == {third["release"]}
    assert third["previous"] == before


def test_a_lock_that_one_host_cannot_give_is_kept_by_none(pair: Project) -> None:
    pair.deploy()
    pair.shell(pair.hosts[1], "bash", "-c", "kill -9 $(cat /run/lab-dockerd.pid)")
    pair.invoke("lock", "--env", "lab", "--minutes", "60", code=10)
    wait_until(lambda: not any(map(pair.locked, pair.hosts)), what="every host's lock to go")


def test_lock_keeps_people_out_until_unlock(project: Project) -> None:
    project.deploy()
    project.invoke("lock", "--env", "lab", "--message", "database upgrade")
    refused = project.deploy(image=project.image("2"), code=6)
    assert "database upgrade" in refused.all
    project.invoke("unlock", "--env", "lab")
    wait_until(lambda: project.deploy(image=project.image("2")).code == 0)
