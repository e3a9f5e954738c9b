"""A load in a process of its own, read and stopped from here."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path

from portside.command import tail
from portside.errors import CommandError
from portside.load.connection import Target
from portside.load.report import Report

REPOSITORY = Path(__file__).parents[2]
LINE_LIMIT = 1 << 20
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class LoadProcess:
    """`report` is what the process said last: about `every` seconds old while it runs, final afterwards."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reports = asyncio.Event()
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        assert self._report is not None, "load_process hands this out after the first report"  # noqa: S101
        return self._report

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        async for line in self._process.stdout:
            self._report = Report.model_validate_json(line)
            self._reports.set()
        self._reports.set()


@contextlib.asynccontextmanager
async def load_process(
    base_url: str,
    *,
    paths: Sequence[str] = (),
    connections: int = 8,
    rate: float | None = None,
    timeout: float = 10.0,
    host: str | None = None,
    every: float = 1.0,
) -> AsyncIterator[LoadProcess]:
    """Traffic while the block runs: the links service's own, or GETs of `paths`.

    The block begins when the first requests have been sent. Raises ConfigError, or CommandError when the
    process fails.
    """
    Target.of(base_url)
    argv = [sys.executable, "-m", "portside.load", base_url, "--json", f"--every={every}"]
    argv += [f"--connections={connections}", f"--timeout={timeout}"]
    argv += [f"--get={path}" for path in paths]
    argv += [f"--rate={rate}"] if rate else []
    argv += [f"--host={host}"] if host else []
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        cwd=REPOSITORY,
        # Ctrl-C is for the deployer, which stops this load when it is done undoing.
        start_new_session=True,
    )
    load = LoadProcess(process)
    reader = asyncio.create_task(load._read())
    try:
        await _before(START_SECONDS, load._reports.wait())
        if load._report is not None:
            yield load
        await _before(timeout + STOP_SECONDS, _end(process, reader))
    finally:
        reader.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _end(process: asyncio.subprocess.Process, reader: asyncio.Task[None]) -> None:
    """Closing its stdin asks the process to stop, and would also happen if this one were killed."""
    assert process.stdin is not None and process.stderr is not None  # noqa: S101
    process.stdin.close()
    await reader
    stderr = await process.stderr.read()
    exit_code = await process.wait()
    if exit_code != 0:
        raise CommandError(
            f"the load generator ended with exit code {exit_code}", where="portside.load", why=tail(stderr)
        )


async def _before(seconds: float, answer: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await answer
    except TimeoutError:
        raise CommandError(f"the load generator did not answer within {seconds:g} s", where="portside.load") from None
