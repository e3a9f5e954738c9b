"""What must not run twice is handed over at the switch, whatever the two releases call it; an undo brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside import steps
from portside.release import Release, Role
from tests.unit import builders
from tests.unit.test_markers import Machine

WEB = Role(name="web", replicas=1, stop_first=False)
OLD = builders.release("r1", roles=(WEB, Role(name="worker", replicas=1, stop_first=True)))
# Its worker runs. What Compose is asked for is only written down.
ENGINE = """#!/bin/sh
echo "$@" >>"$HOME/asked"
[ "$1" != ps ] || echo "c1 worker"
"""


def release(*roles: Role) -> Release:
    return builders.release("r2", roles=(WEB, *roles))


def begun(new: Release) -> steps.Operation:
    state = builders.state(current=builders.current("r1"), route="blue", releases={"r1": OLD})
    return steps.operation_for(state, new, kind="deploy", identity="op", owner="me", fresh=True)


@pytest.mark.parametrize(
    ("roles", "started"),
    [
        ((), ()),
        ((Role(name="worker", replicas=0, stop_first=True),), ()),
        ((Role(name="worker", replicas=1, stop_first=False),), ()),
        ((Role(name="jobs", replicas=1, stop_first=True),), ("jobs",)),
        ((Role(name="worker", replicas=2, stop_first=True),), ("worker",)),
    ],
    ids=["removed", "scaled to nothing", "of another kind", "renamed", "the same"],
)
def test_the_old_one_is_stopped_by_the_switch_and_brought_back_by_an_undo(
    roles: tuple[Role, ...], started: tuple[str, ...]
) -> None:
    operation = begun(release(*roles))
    assert steps.switch(operation, release(*roles), 60).arguments[6:] == ("worker", *started)
    assert steps.undo(operation, "why", grace=1).arguments[8:] == ("worker",)


def test_what_the_old_release_has_none_of_is_neither_stopped_nor_brought_back() -> None:
    new = release(Role(name="jobs", replicas=1, stop_first=True), Role(name="worker", replicas=1, stop_first=True))
    assert begun(new).previous_stop_first == ("worker",)


def test_a_worker_without_a_successor_ends_all_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.home / "bin/docker").write_text(ENGINE)
    (machine.site / "journal.jsonl").touch()
    machine.run(steps.switch(begun(release()), release(), 60))
    asked = (machine.home / "asked").read_text().splitlines()
    assert asked[-1] == "stop c1", "and nothing is started for it"
