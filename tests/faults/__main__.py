"""`python -m tests.faults`: the whole matrix, a part of it, or random cases from a seed, on a lab of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from portside.errors import PortsideError
from portside.lab.hosts import start_hosts, stop_hosts
from tests.faults import record, report
from tests.faults.cases import HOSTS, Case, fewest, in_order, shuffled
from tests.faults.ground import prepared
from tests.faults.running import Result, run_case
from tests.faults.table import matrix
from tests.lab.servers import forget_images, start_registry


def main() -> int:
    options = _options()
    before = record.read(options.record) if options.record else []
    chosen, seed = _chosen(options, before)
    if options.list:
        print(*chosen, sep="\n")
        return 0
    try:
        results = asyncio.run(_run(chosen, options))
        if options.record:
            results = record.read(options.record)
    except PortsideError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(report.data(results, seed) if options.json else report.tables(results))
    return 1 if any(result.broken for result in results) or not results else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s faults --", description=__doc__)
    parser.add_argument("--seed", type=int, help="random cases, the same for the same number")
    parser.add_argument("--minutes", type=float, help="begin no further case after so long")
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[], help="cases whose name contains this")
    parser.add_argument("--fast", action="store_true", help="as few cases as touch every phase and every fault")
    parser.add_argument("--json", action="store_true", help="counts for machines; progress goes to standard error")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="keep results there; what it has is not run again, but told"
    )
    parser.add_argument("--list", action="store_true", help="only say which cases it would be")
    return parser.parse_args()


def _chosen(options: argparse.Namespace, before: list[Result]) -> tuple[Iterable[Case], int | None]:
    cases = [case for case in matrix(HOSTS) if all(text in str(case) for text in options.only)]
    if options.fast:
        cases = fewest(cases)
    cases = record.left(cases, before)
    seed = options.seed
    if seed is None and not options.minutes:
        return in_order(cases), None
    if seed is None:
        seed = secrets.randbelow(1_000_000)
    order = shuffled(cases, seed)
    # What is recorded is done; without a record, as often as there is time.
    again = options.minutes and not options.list and not options.record
    return (order if again else itertools.islice(order, len(cases))), seed


async def _run(cases: Iterable[Case], options: argparse.Namespace) -> list[Result]:
    name = f"faults-{os.getpid()}"
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portside-faults-")))
        stack.push_async_callback(stop_hosts, name)
        lab = await start_hosts(max(HOSTS), name=name, state_dir=folder / "lab", say=_say)
        registry = await start_registry(lab)
        stack.push_async_callback(forget_images, registry)
        made = await prepared(lab, registry, folder / "project")
        results = []
        for case in _in_time(cases, options.minutes):
            result = await run_case(made, case)
            results.append(result)
            if options.record:
                record.add(options.record, result)
            _say(report.line(result))
            if result.broken:
                await made.clean()
        return results


def _in_time(cases: Iterable[Case], minutes: float | None) -> Iterator[Case]:
    until = time.monotonic() + minutes * 60 if minutes else None
    return itertools.takewhile(lambda _: until is None or time.monotonic() < until, cases)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
