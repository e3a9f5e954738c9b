"""A release to many hosts: not all at the heavy work at once, and whoever keeps the others waiting is named."""

from __future__ import annotations

import asyncio
import time

import httpx

from portside.waiting import PATIENCE
from tests.lab import faults
from tests.lab.holds import free, held, wait_held
from tests.lab.project import Project


def begun(fleet: Project) -> list[str]:
    """The hosts whose journal has the begin of the present operation's start."""
    journals = {host.name: fleet.shell(host, "cat", fleet.site("journal.jsonl")) for host in fleet.hosts}
    return [name for name, text in journals.items() if '"phase":"start","event":"begin"' in text]


def test_with_max_parallel_1_a_host_starts_when_the_one_before_has_and_all_switch_together(fleet: Project) -> None:
    image = fleet.image()
    fleet.environment["max_parallel"] = 1
    one, two, three = fleet.hosts
    with held(fleet, two, "start", "begin"):
        deploying = fleet.start("deploy", "--env", "lab", "--json", "--image", image)
        wait_held(fleet, two)
        assert begun(fleet) in ([one.name], [one.name, two.name]), "the third has not had its turn"
        assert len(fleet.containers(one)) == 1 and fleet.containers(three) == [], "web runs, the worker comes later"
        assert httpx.get(fleet.url(one)).status_code == 503, "nothing has been switched"
        time.sleep(PATIENCE + 3)
        free(fleet, two)
        out, err = deploying.communicate(timeout=120)
    assert deploying.returncode == 0, out + err
    assert f"waiting for {two.name} (start, " in err
    assert one.name not in err.partition("waiting for ")[2].splitlines()[0]
    for host in fleet.hosts:
        assert httpx.get(fleet.url(host)).status_code == 200


def test_with_max_parallel_1_nothing_is_begun_after_a_host_that_is_not_ready(fleet: Project) -> None:
    fleet.environment |= {"max_parallel": 1, "env": {"EXIT_AT_START": "1"}}
    failed = fleet.deploy(code=7)
    assert fleet.hosts[0].name in failed.data["why"]
    assert begun(fleet) == [fleet.hosts[0].name]


def test_a_host_that_does_not_answer_is_named_while_it_is_waited_for_and_in_the_error(fleet: Project) -> None:
    image, silent = fleet.image(), fleet.hosts[2]
    fleet.environment["connect_deadline"] = 14
    asyncio.run(faults.pause(silent))
    try:
        failed = fleet.deploy(image=image, code=4)
    finally:
        asyncio.run(faults.unpause(silent))
    assert f"waiting for {silent.name} (connect, " in failed.err
    assert failed.data["where"] == silent.name
    assert "no answer within 14 s" in failed.data["error"]
