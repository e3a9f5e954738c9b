"""The fault matrix as values: what is chosen of it, what counts as broken, which journals the protocol could write."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from portside.journal import Entry, Phase, line
from tests.faults import record
from tests.faults.cases import COMMITTED, HOSTS, MOMENTS, PHASES, Case, fewest, moment, shuffled
from tests.faults.promises import Facts, HostFacts, broken
from tests.faults.report import tables
from tests.faults.running import Result
from tests.faults.table import FAULTS, matrix
from tests.faults.traffic import Count
from tests.model.replay import Left, follow
from tests.unit.builders import entry, operation

FIRST = operation("op-1", release="r2", previous="r1")
WHOLE: tuple[Phase, ...] = ("prepare", "before-switch", "start", "switch", "bake", "commit", "retire")


def journal(*phases: Phase, ended: bool = True) -> list[Entry]:
    """Begin and end of each phase; without the last end unless `ended`."""
    lines = [entry(phase, event, FIRST) for phase in phases for event in ("begin", "end")]
    return lines if ended else lines[:-1]


def test_every_fault_is_tried_in_every_phase_in_which_there_is_something_to_break() -> None:
    cases = matrix(HOSTS)
    assert len(set(cases)) == len(cases) > 450
    for fault in FAULTS.values():
        tried = {case.moment for case in cases if case.fault == fault.name}
        assert tried == {when for when in MOMENTS if fault.happens(when)}


def test_the_fast_part_touches_every_fault_every_phase_both_ends_and_every_number_of_hosts() -> None:
    chosen = fewest(matrix(HOSTS))
    assert sorted(case.fault for case in chosen) == sorted(FAULTS)
    assert {case.moment.phase for case in chosen} == set(PHASES)
    assert {case.moment.at for case in chosen} == {"begin", "end"}
    assert {case.hosts for case in chosen} == set(HOSTS)


def test_a_seed_gives_the_same_cases_again_and_another_seed_others() -> None:
    cases = matrix(HOSTS)

    def first(seed: int) -> list[Case]:
        return list(itertools.islice(shuffled(cases, seed), 40))

    assert first(7) == first(7) != first(8)


def test_after_the_commit_no_fault_may_take_a_release_back() -> None:
    for fault in FAULTS.values():
        assert {fault.expected(when) for when in MOMENTS if when >= COMMITTED and fault.happens(when)} <= {"finished"}


NEW, OLD = Left("op-1", moved=True), Left(None, moved=False)


@pytest.mark.parametrize(
    ("journals", "left"),
    [
        pytest.param((journal(*WHOLE), journal(*WHOLE)), NEW, id="nothing went wrong"),
        pytest.param((journal("prepare", "undo"), journal("prepare", "start", "undo")), OLD, id="undone half-way"),
        pytest.param(
            (
                [*journal("prepare", "start", ended=False), *journal("undo", ended=False), *journal("undo")],
                journal("prepare", "undo"),
            ),
            OLD,
            id="undone twice, the first time in vain",
        ),
        pytest.param(
            (journal(*WHOLE), [*journal(*WHOLE[:-1], ended=False), *journal("commit", "retire")]),
            NEW,
            id="finished by the next command",
        ),
    ],
)
def test_a_journal_that_the_protocol_can_write_is_followed(journals: Sequence[Sequence[Entry]], left: Left) -> None:
    names = [f"host-{number}" for number in range(len(journals))]
    followed = follow(dict(zip(names, journals, strict=True)), dict.fromkeys(names, left), limit=200_000)
    assert followed.problem == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("journals", "left"),
    [
        pytest.param((journal("prepare", "switch"), []), NEW, id="traffic moved to what was never started"),
        pytest.param((journal(*WHOLE), journal("prepare", "start", "undo")), NEW, id="undone where others committed"),
        pytest.param((journal(*WHOLE),), OLD, id="committed, and the release before serves"),
        pytest.param((journal("start"), []), OLD, id="left as it was begun"),
    ],
)
def test_a_journal_that_the_protocol_cannot_write_is_not_followed(
    journals: Sequence[Sequence[Entry]], left: Left
) -> None:
    names = [f"host-{number}" for number in range(len(journals))]
    followed = follow(dict(zip(names, journals, strict=True)), dict.fromkeys(names, left), limit=20_000)
    assert "stuck: host 0 after" in followed.problem


def host(**changes: object) -> HostFacts:
    kept = HostFacts(
        answers=frozenset({"r2"}),
        current="r2",
        operation="op-1",
        moved=True,
        route="green",
        running=(("web-1", "r2"), ("web-2", "r2"), ("worker-1", "r2")),
        watched="r2",
        locked=False,
        journal=tuple(_line(each) for each in journal(*WHOLE)),
        leaks="",
    )
    return replace(kept, **changes)  # type: ignore[arg-type]


def _line(each: Entry) -> str:
    return line(each.operation, each.phase, each.event).replace("{", '{"at":5,', 1)


def facts(changed: HostFacts, **changes: object) -> Facts:
    whole = Facts(
        before="r1",
        expected="finished",
        hosts={"one": host(), "two": changed},
        counts={"GET": Count(100, 0, 0)},
        failures=(),
        said=("all is well",),
        canary="canary-1",
        recovered_again="",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_what_keeps_every_promise_is_not_broken() -> None:
    assert broken(facts(host())) == []


@pytest.mark.parametrize(
    ("number", "what", "seen"),
    [
        (1, "has committed r2, and ['r1'] answers", facts(host(answers=frozenset({"r1"})))),
        (1, "not one slot", facts(host(route="green>blue"))),
        (1, "runs", facts(host(running=(("web-1", "r2"), ("web-2", "r1"), ("worker-1", "r2"))))),
        (1, "monitoring", facts(host(watched="r1"))),
        (2, "requests failed: {'GET': 1}", facts(host(), counts={"GET": Count(100, 1, 0)})),
        (3, "still locked", facts(host(locked=True))),
        (4, "recovered twice", facts(host(), recovered_again="a deploy was undone")),
        (4, "no story", facts(host(journal=()))),
        (4, "can't be read", facts(host(journal=("{", "{", *host().journal)))),
        (5, "a command says a secret", facts(host(), said=("the password is canary-1",))),
        (5, "is seen on two", facts(host(leaks="/home/deploy/env"))),
    ],
)
def test_a_promise_that_is_not_kept_is_named_with_its_number(number: int, what: str, seen: Facts) -> None:
    found = [problem for problem in broken(seen) if problem.startswith(f"{number}: ") and what in problem]
    assert found, broken(seen)


def test_an_end_that_was_not_to_be_is_said() -> None:
    assert "it was finished, and should have been undone" in broken(facts(host(), expected="undone"))


def test_the_table_counts_what_failed_apart_from_what_could_not_be_promised() -> None:
    results = [
        Result(Case(moment("bake", "begin"), fault, 2), "undone", 7, "", {"GET": Count(50, failed, 3)}, 20.0, ())
        for fault, failed in (("proxy killed", 0), ("disk full", 1))
    ]
    lines = tables(results).splitlines()
    assert "| GET | 100 | 1 | 6 |" in lines
    assert "| disk full | 1 | 0 | 1 | 50 | 1 | 3 | 0 |" in lines


def test_what_a_record_has_is_not_run_again_unless_it_was_broken(tmp_path: Path) -> None:
    cases, kept = matrix(HOSTS)[:3], tmp_path / "record.jsonl"
    assert record.left(cases, record.read(kept)) == cases
    counts = {"GET": Count(50, 0, 3)}
    for case, broken_promises in ((cases[0], ()), (cases[1], ("1: two releases",))):
        record.add(kept, Result(case, "undone", 7, "a deploy was undone", counts, 20.0, broken_promises))
    assert record.left(cases, record.read(kept)) == cases[1:]
    mended = Result(cases[1], "undone", 7, "", counts, 21.0, ())
    record.add(kept, mended)
    assert record.read(kept)[1] == mended
    assert record.left(cases, record.read(kept)) == cases[2:]
