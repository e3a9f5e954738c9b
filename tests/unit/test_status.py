"""What `status` says is the one thing to do next."""

from __future__ import annotations

from portside.errors import HostError
from portside.facts import Proxy
from portside.recovery import Recovered
from portside.status import next_step
from tests.unit.builders import container, current, entry, operation, state

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


def test_a_node_of_a_swarm_may_have_no_container_or_what_is_left_of_one() -> None:
    mixed = (container(RELEASE, "blue"), container(RELEASE, "blue", status="exited"))
    left, none = (state(current=current(RELEASE), proxy=RUNS, containers=which) for which in (mixed, ()))
    assert next_step({"a": left, "b": none}, {}, Recovered(), "prod", swarm=True) == ""
    said = next_step({"b": none}, {}, Recovered(), "prod", swarm=True)
    assert said == "Containers of the release don't run: invoke doctor --env prod"
