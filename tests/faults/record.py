"""Cases that were run, kept from one sitting to the next: the whole matrix takes longer than a machine may be free."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.cases import Case, moment
from tests.faults.running import Result
from tests.faults.traffic import Count


def as_data(result: Result) -> dict[str, Any]:
    return {
        "fault": result.case.fault,
        "phase": result.case.moment.phase,
        "at": result.case.moment.at,
        "hosts": result.case.hosts,
        "outcome": result.outcome,
        "exit_code": result.code,
        "recovered": result.recovered,
        "seconds": round(result.seconds, 1),
        "requests": {kind: asdict(count) for kind, count in result.counts.items()},
        "broken": list(result.broken),
    }


def from_data(data: dict[str, Any]) -> Result:
    return Result(
        Case(moment(data["phase"], data["at"]), data["fault"], data["hosts"]),
        data["outcome"],
        data["exit_code"],
        data["recovered"],
        {kind: Count(**count) for kind, count in data["requests"].items()},
        data["seconds"],
        tuple(data["broken"]),
    )


def read(path: Path) -> list[Result]:
    """The results of a file, a line each; of a case that was run again, the last. None where there is no file."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = [from_data(json.loads(line)) for line in lines]
    return list({result.case: result for result in found}.values())


def add(path: Path, result: Result) -> None:
    """At once, so that what ends the run takes nothing with it."""
    with path.open("a") as file:
        file.write(json.dumps(as_data(result)) + "\n")


def left(cases: Iterable[Case], done: Iterable[Result]) -> list[Case]:
    """The cases that have no result yet, or one that broke a promise."""
    kept = {result.case for result in done if not result.broken}
    return [case for case in cases if case not in kept]
