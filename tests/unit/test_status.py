"""What `status` says is the one thing to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portside.errors import ConfigError, HostError
from portside.facts import Proxy
from portside.recovery import Recovered
from portside.status import goes_on, next_step
from tests.unit.builders import container, current, entry, environment, operation, state

RUNS = Proxy(running=True, fingerprint="f", image="caddy")
RELEASE = "20261123-154501-aaaaaa"


WELL = state(current=current(RELEASE), proxy=RUNS, containers=(container(RELEASE, "blue"),))


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    assert next_step({"a": WELL, "b": WELL}, {}, Recovered(), "prod") == ""


def test_what_was_undone_may_be_released_again() -> None:
    assert next_step({"a": WELL}, {}, Recovered("it was undone", undone=True), "prod") == "invoke deploy --env prod"


def test_what_was_finished_needs_nothing() -> None:
    assert next_step({"a": WELL}, {}, Recovered("it was finished"), "prod") == ""


def test_what_cannot_serve_alone_is_rolled_back() -> None:
    assert next_step({"a": WELL}, {}, Recovered("committed", unfit=("a",)), "prod") == "invoke rollback --env prod"


def test_a_host_that_is_gone_comes_before_everything_else() -> None:
    said = next_step({"a": WELL}, {"b": HostError("gone")}, Recovered(), "prod")
    assert said == "When b can be reached again: invoke status --env prod"


def test_nobody_is_told_to_break_into_a_release_that_is_under_way() -> None:
    releasing = state(current=current(RELEASE), proxy=RUNS, journal=(entry("start", "begin", operation()),))
    assert next_step({"a": releasing}, {}, Recovered(), "prod").endswith("In a moment: invoke status --env prod")


def test_what_does_not_run_is_for_the_doctor() -> None:
    silent = state(current=current(RELEASE), containers=(container(RELEASE, "blue"),))
    assert next_step({"a": silent}, {}, Recovered(), "prod") == "A proxy doesn't run: invoke doctor --env prod"
    dead = state(current=current(RELEASE), proxy=RUNS, containers=(container(RELEASE, "blue", status="exited"),))
    assert "Containers of the release don't run" in next_step({"a": dead}, {}, Recovered(), "prod")


def test_what_the_same_release_left_in_the_other_slot_is_no_part_of_what_serves() -> None:
    left = container(RELEASE, "green", status="exited")
    assert next_step({"a": replace(WELL, containers=(*WELL.containers, left))}, {}, Recovered(), "prod") == ""


def test_a_node_of_a_swarm_may_have_no_container_or_what_is_left_of_one() -> None:
    mixed = (container(RELEASE, "blue"), container(RELEASE, "blue", status="exited"))
    left, none = (state(current=current(RELEASE), proxy=RUNS, containers=which) for which in (mixed, ()))
    assert next_step({"a": left, "b": none}, {}, Recovered(), "prod", swarm=True) == ""
    said = next_step({"b": none}, {}, Recovered(), "prod", swarm=True)
    assert said == "Containers of the release don't run: invoke doctor --env prod"


SWARM = environment(orchestrator="swarm", registry="registry.example.com/links", hosts=["a", "b", "c"])


@pytest.mark.parametrize(
    ("lost", "ends"),
    [
        ({}, True),
        ({"c": HostError("gone")}, True),
        ({"b": HostError("gone"), "c": HostError("gone")}, False),
        ({"c": ConfigError("its key is none")}, False),
    ],
)
def test_what_a_dead_deployer_left_is_ended_in_a_swarm_while_most_hosts_are_there(
    lost: dict[str, BaseException], ends: bool
) -> None:
    states = {host: WELL for host in "abc" if host not in lost}
    assert goes_on(SWARM, states, lost) is ends
    assert goes_on(environment(), states, lost) is not bool(lost), "hosts that don't know each other wait for all"


def test_what_was_undone_without_a_node_is_released_again_before_that_one_is_waited_for() -> None:
    undone, lost = Recovered("it was undone", undone=True), {"b": HostError("gone")}
    assert next_step({"a": WELL}, lost, undone, "prod", swarm=True) == "invoke deploy --env prod"
