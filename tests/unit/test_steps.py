"""Which slot a release goes to, what an undo restores, what is pruned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from portside import steps
from portside.facts import State
from portside.host.base import Host
from portside.release import Slot, other
from portside.rollout import to_prune
from portside.steps import Target, operation_for, switched_route
from tests.unit import builders

R1, R2, R3 = (f"20261123-15450{n}-aaaaaa" for n in "123")


def operation(state: State, identity: str, **changes: Any) -> steps.Operation:
    return operation_for(
        state, builders.release(identity), kind="deploy", identity="op", owner="me", fresh=True, **changes
    )


def serving(identity: str, slot: str, route: str = "", **changes: Any) -> State:
    return builders.state(
        current=builders.current(identity, slot),
        route=route or slot,
        releases={identity: builders.release(identity)},
        **changes,
    )


def test_the_first_release_goes_to_blue_and_an_undo_leaves_no_route() -> None:
    found = operation(builders.state(), R1)
    assert (found.slot, found.route, found.previous) == ("blue", "", None)
    assert switched_route(found) == "blue"


def test_the_next_release_goes_beside_it_with_the_old_one_behind() -> None:
    found = operation(serving(R1, "blue"), R2)
    assert (found.slot, found.previous, found.previous_slot) == ("green", R1, "blue")
    assert switched_route(found) == "green>blue"
    assert found.route == "blue"


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_what_serves_without_a_record_is_released_beside_and_is_back_after_an_undo(slot: Slot) -> None:
    running = (builders.container(R1, slot), builders.container(R1, slot, "worker"))
    found = operation(replace(serving(R1, slot, containers=running), current=None), R2)
    assert (found.previous, found.previous_slot, found.slot) == (R1, slot, other(slot))
    assert (found.route, found.previous_stop_first) == (slot, ("worker",))
    dead = replace(serving(R1, slot), current=None)
    assert operation(dead, R2).previous is None, "nothing runs that could serve"


def test_a_canary_leaves_the_old_release_serving_and_its_worker_alone() -> None:
    state = serving(R1, "blue")
    found = operation(state, R2)
    step = steps.canary(found, builders.release(R2), 5.0, 60)
    assert step.arguments == ("blue+green:5", "-", "-", "green", R2, "60", ""), "nothing is handed over"
    assert serving(R1, "blue", "blue+green:5").serving == "blue"


def test_what_stands_behind_is_cut_off_while_its_slot_is_replaced() -> None:
    state = serving(R2, "green", "green>blue")
    found = operation(state, R3)
    assert (found.slot, found.route) == ("blue", "green"), "an undo can't bring back what was replaced"
    target = Target(cast(Host, None), "links-prod", "1", state, found)
    assert steps.start(target, builders.release(R3), 60).arguments[2] == "green"


@pytest.mark.parametrize(
    ("there", "in_the_way"),
    [
        ((), []),
        ((1,), []),
        ((1, 2), []),
        ((1, 2, 3), ["3"]),
        ((1, 3), ["3"]),
        ((2,), ["2"]),
        ((3, 4), ["3", "4"]),
    ],
)
def test_what_would_keep_web_containers_from_being_numbered_from_one_on_goes(
    there: tuple[int, ...], in_the_way: list[str]
) -> None:
    serves = (builders.container(R2, "green", identity="serves", number=7),)
    stopped = [builders.container(R1, "blue", status="exited", identity=str(each), number=each) for each in there]
    state = serving(R2, "green", containers=(*serves, *stopped))
    target = Target(cast(Host, None), "links-prod", "1", state, operation(state, R3))
    assert steps.start(target, builders.release(R3), 60).arguments[6] == " ".join(in_the_way)


def test_a_warm_release_is_switched_to_where_it_runs() -> None:
    warm = (builders.container(R1, "blue"), builders.container(R1, "blue"))
    found = operation(serving(R2, "green", "green>blue", containers=warm), R1)
    assert found.warm
    assert found.slot == "blue"
    assert found.route == "green>blue"


def test_half_a_warm_release_is_not_warm() -> None:
    found = operation(serving(R2, "green", "green>blue", containers=(builders.container(R1, "blue"),)), R1)
    assert not found.warm


def test_prune_keeps_the_newest_the_current_and_the_previous() -> None:
    ids = [f"20261123-15450{n}-aaaaaa" for n in range(1, 7)]
    releases = {
        identity: builders.release(identity, image=builders.Image(reference=f"links:{identity}")) for identity in ids
    }
    state = builders.state(current=builders.current(ids[0], "blue"), route="blue", releases=releases)
    new = builders.release("20261123-154509-aaaaaa")
    target = Target(cast(Host, None), "links-prod", "1", state, operation(state, new.id))
    gone = to_prune(target, new, keep=3)
    assert set(gone) == set(ids[1:4])
    assert gone[ids[1]] == f"links:{ids[1]}"


def test_an_image_that_a_kept_release_uses_is_not_removed() -> None:
    releases = {identity: builders.release(identity) for identity in (R1, R2)}
    state = builders.state(releases=releases)
    new = builders.release(R3)
    target = Target(cast(Host, None), "links-prod", "1", state, operation(state, new.id))
    assert to_prune(target, new, keep=2) == {R1: None}


def test_a_short_limit_is_a_second_and_never_none() -> None:
    assert steps.before_switch(builders.release(R1), ("x",), 0.4).arguments[2] == "1"
    assert steps.before_switch(builders.release(R1), ("x",), 0).arguments[2] == "1"
    assert steps.before_switch(builders.release(R1), ("x",), 1800).arguments[2] == "1800"
    assert steps.accessories({}, "f", 0.4).arguments == ("f", "1", "local")
