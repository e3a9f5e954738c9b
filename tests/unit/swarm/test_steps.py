"""What each phase does at one node of a Swarm."""

from __future__ import annotations

from portside.orders import orders
from portside.swarm import steps
from tests.unit import builders

RELEASE = builders.release("r2")


def test_an_operation_is_undone_as_it_was_begun() -> None:
    assert orders(builders.operation()).undo(builders.operation(), "why", grace=1).script == "undo"
    begun = steps.operation_in_swarm(builders.operation(slot="green", previous_slot="blue"), RELEASE, acts=False)
    assert begun.swarm == "follows"
    assert orders(begun).undo(begun, "why", grace=1).script == "swarm_undo"


def test_what_must_not_run_twice_ends_on_every_node_before_an_undo_brings_it_back_on_any() -> None:
    begun = builders.operation(swarm="acts", previous_stop_first=("worker=3",), stop_first=("worker", "jobs"))
    step = orders(begun).withdraw(begun, "why", grace=7)
    assert step is not None
    assert (step.script, step.arguments[-3:]) == ("swarm_withdraw", ("17", "worker", "jobs"))
    without = builders.operation(swarm="acts")
    assert orders(without).withdraw(without, "why", grace=7) is None
    alone = builders.operation()
    assert orders(alone).withdraw(alone, "why", grace=7) is None


def test_an_undo_brings_back_as_many_workers_as_there_were() -> None:
    previous = builders.release("r1", roles=[*RELEASE.roles[:1], RELEASE.roles[1].model_copy(update={"replicas": 3})])
    operation = steps.operation_in_swarm(builders.operation(previous_stop_first=("worker",)), previous, acts=True)
    assert steps.undo(operation, "why", grace=1).arguments[-1] == "worker=3"


def test_a_start_leaves_stop_first_services_to_the_handover() -> None:
    operation = steps.operation_in_swarm(builders.operation(), None, acts=True)
    assert steps.handover(operation, RELEASE, 60).arguments[-1:] == ("worker=1",)
    switched = steps.switch(operation, RELEASE, 60)
    assert switched.script == "switch"
    assert switched.arguments[-2:] == ("60", ""), "no service is handed over by a node for itself"


def test_a_worker_that_the_new_release_has_no_more_is_scaled_away_in_the_handover() -> None:
    begun = builders.operation(previous_stop_first=("worker",), stop_first=("jobs",))
    operation = steps.operation_in_swarm(begun, RELEASE, acts=True)
    renamed = builders.release("r2", roles=[RELEASE.roles[0], RELEASE.roles[1].model_copy(update={"name": "jobs"})])
    assert steps.handover(operation, renamed, 60).arguments[-2:] == ("worker", "jobs=1")


def test_no_node_says_by_itself_that_a_release_is_warm() -> None:
    assert not steps.operation_in_swarm(builders.operation(warm=True), None, acts=True).warm
