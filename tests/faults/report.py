"""What came of a run: a line a case while it goes on, tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from tests.faults.record import as_data
from tests.faults.running import Result
from tests.faults.traffic import KINDS, Count, Counts, added


def line(result: Result) -> str:
    total = sum(result.counts.values(), Count())
    said = (
        f"{'✗' if result.broken else '✓'} {result.case}: {result.outcome}, {total.sent} requests, {total.failed} failed"
    )
    said += f", {total.lost} not promised" if total.lost else ""
    return "\n".join([f"{said} ({result.seconds:.0f} s)", *(f"    {problem}" for problem in result.broken)])


def tables(results: Sequence[Result]) -> str:
    """Markdown: requests by kind, then what was tried and how it ended by fault."""
    counts = added([result.counts for result in results])
    by_fault = {fault: [each for each in results if each.case.fault == fault] for fault in _faults(results)}
    return "\n".join(
        [
            *_table(("requests", "sent", "failed", "lost where nothing can be promised"), _by_kind(counts)),
            "",
            *_table(
                ("what went wrong", "times", "finished", "undone", "requests", "failed", "not promised", "broken"),
                (_fault_row(fault, each) for fault, each in by_fault.items()),
            ),
        ]
    )


def data(results: Sequence[Result], seed: int | None) -> str:
    """All of it as one line of JSON."""
    found: dict[str, Any] = {
        "seed": seed,
        "cases": [as_data(result) for result in results],
        "requests": {kind: asdict(count) for kind, count in added([result.counts for result in results]).items()},
        "broken": sum(bool(result.broken) for result in results),
    }
    return json.dumps(found)


def _faults(results: Iterable[Result]) -> list[str]:
    return sorted({result.case.fault for result in results})


def _by_kind(counts: Counts) -> Iterable[tuple[object, ...]]:
    return ((kind, counts[kind].sent, counts[kind].failed, counts[kind].lost) for kind in KINDS)


def _fault_row(fault: str, results: Sequence[Result]) -> tuple[object, ...]:
    outcomes = Counter(result.outcome for result in results)
    total = sum(added([result.counts for result in results]).values(), Count())
    return (
        fault,
        len(results),
        outcomes["finished"],
        outcomes["undone"],
        total.sent,
        total.failed,
        total.lost,
        sum(bool(result.broken) for result in results),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]
