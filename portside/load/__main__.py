"""`python -m portside.load URL`: traffic until Ctrl-C, SIGTERM or the end of a piped stdin."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import stat
import sys
from random import Random

from portside.errors import PortsideError
from portside.load.generator import Load
from portside.load.mix import links, pages
from portside.load.report import Report


def main() -> int:
    options = _options()
    try:
        report = asyncio.run(_run(options))
    except PortsideError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(report.model_dump_json() if options.json else _shown(report), flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m portside.load", description=__doc__)
    parser.add_argument("url", help="base URL of the service, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--get", metavar="PATH", action="append", default=[], help="GET this path instead of using links"
    )
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, help="at most so many requests per second")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds until a request counts as lost")
    parser.add_argument("--host", help="what to send as Host header")
    parser.add_argument("--seconds", type=float, help="stop by itself after this time")
    parser.add_argument("--json", action="store_true", help="reports as JSON, one on a line")
    parser.add_argument("--every", type=float, help="with --json: a report every so many seconds")
    return parser.parse_args()


async def _run(options: argparse.Namespace) -> Report:
    random = Random()  # noqa: S311
    load = Load(
        options.url,
        pages(options.get) if options.get else links(random),
        connections=options.connections,
        rate=options.rate,
        timeout=options.timeout,
        host=options.host,
        random=random,
    )
    stop = await _stop_asked()
    async with load:
        if options.json and options.every:
            async with asyncio.TaskGroup() as group:
                reports = group.create_task(_report_now_and_then(load, options.every))
                await _wait(stop, options.seconds)
                reports.cancel()
        else:
            await _wait(stop, options.seconds)
    return load.report


async def _report_now_and_then(load: Load, seconds: float) -> None:
    await asyncio.sleep(0.1)
    while True:
        print(load.report.model_dump_json(), flush=True)
        await asyncio.sleep(seconds)


async def _wait(stop: asyncio.Event, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _stop_asked() -> asyncio.Event:
    """Set by the signals that end programs, and by the end of stdin where that is a pipe."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        await loop.connect_read_pipe(lambda: _EndOfInput(stop), sys.stdin)
    return stop


class _EndOfInput(asyncio.Protocol):
    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop.set()


def _shown(report: Report) -> str:
    total = f"{report.requests} requests in {report.seconds:.1f} s ({report.per_second:g}/s)"
    lines = [
        f"{total}, {report.failed} failed",
        "latency in ms: " + ", ".join(f"{name} {value:g}" for name, value in report.latency_ms),
    ]
    for name, kind in report.kinds.items():
        outcomes = [*kind.statuses.items(), *kind.errors.items()]
        lines.append(f"{name}: " + (", ".join(f"{outcome}: {count}" for outcome, count in outcomes) or "none"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
