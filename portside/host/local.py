"""This machine as a host: the same scripts, without SSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from portside.command import Result, shown
from portside.errors import HostError
from portside.host.base import Channel, Input, Traffic, answered

T = TypeVar("T")

# What is sent to a command that keeps running is a line: one that takes none within this many seconds reads nothing.
SEND_SECONDS = 15
# How long what was told to stop may take to do so; a lease that is given back waits 10 s for its file.
STOP_SECONDS = 15

# One line of what a host tells of itself may be long: a proxy configuration, an image's layers.
LINE_LIMIT = 16 * 1024 * 1024


class LocalChannel:
    def __init__(self, argv: Sequence[str], process: asyncio.subprocess.Process) -> None:
        self._argv = tuple(argv)
        self._process = process

    async def readline(self, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await _pipe(self._process.stdout).readline()
        except TimeoutError:
            raise HostError(f"`{shown(self._argv, 80)}` said nothing for {timeout:g} s", where="this machine") from None

    async def read_until(self, marker: bytes, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await _pipe(self._process.stdout).readuntil(marker)
        except asyncio.IncompleteReadError as ended:
            return ended.partial
        except TimeoutError:
            raise HostError(
                f"`{shown(self._argv, 80)}` did not end within {timeout:g} s", where="this machine"
            ) from None

    async def send(self, data: bytes) -> None:
        stdin = _pipe(self._process.stdin)
        # Whoever reads its answers finds out what became of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            stdin.write(data)
            async with asyncio.timeout(SEND_SECONDS):
                await stdin.drain()

    async def close(self) -> Result:
        stderr = b""
        try:
            async with asyncio.timeout(10):
                _, stderr = await self._process.communicate(b"")
        except TimeoutError:
            pass
        finally:
            await _end(self._process)
        return Result(self._argv, self._process.returncode or 0, b"", stderr or b"")


class LocalHost:
    """The Docker Engine of the machine that Portside runs on."""

    def __init__(self) -> None:
        self.name = "localhost"
        self.traffic = Traffic()

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        self.traffic.exchanges += 1
        process = await _start(argv, stdin=stdin is not None, stderr=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(timeout):
                reading = asyncio.gather(_pipe(process.stdout).read(), _pipe(process.stderr).read())
                feed = asyncio.create_task(_feed(process, stdin, self.traffic))
                stdout, stderr = await answered(reading, feed)
                await process.wait()
        except TimeoutError:
            raise HostError(f"`{shown(argv, 80)}` did not finish within {timeout:g} s", where=self.name) from None
        finally:
            await _end(process)
        self.traffic.received += len(stdout) + len(stderr)
        return Result(tuple(argv), process.returncode or 0, stdout, stderr, where=self.name)

    async def open(self, argv: Sequence[str], *, stderr_to_stdout: bool = False) -> Channel:
        self.traffic.exchanges += 1
        stderr = asyncio.subprocess.STDOUT if stderr_to_stdout else asyncio.subprocess.PIPE
        return LocalChannel(argv, await _start(argv, stdin=True, stderr=stderr))

    async def tunnel(self, socket: str) -> Path:
        return Path(socket)

    async def reach(self, socket: str) -> None:
        try:
            async with asyncio.timeout(15):
                _, writer = await asyncio.open_unix_connection(socket)
        except (OSError, TimeoutError) as error:
            raise HostError(
                f"nothing answers at {socket}", where=self.name, why=str(error), remedy="Look at what should listen."
            ) from None
        writer.close()

    async def close(self) -> None:
        return None


async def _start(argv: Sequence[str], *, stdin: bool, stderr: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            limit=LINE_LIMIT,
            cwd=Path.home(),
        )
    except FileNotFoundError as error:
        raise HostError(f"`{argv[0]}` is not installed", where="this machine") from error


async def _feed(process: asyncio.subprocess.Process, stdin: Input | None, traffic: Traffic) -> None:
    if stdin is None or process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if isinstance(stdin, bytes):
            process.stdin.write(stdin)
            traffic.sent += len(stdin)
        else:
            async for chunk in stdin:
                process.stdin.write(chunk)
                traffic.sent += len(chunk)
                await process.stdin.drain()
        await process.stdin.drain()
    process.stdin.close()


def _pipe(stream: T | None) -> T:
    """A pipe that was asked for when the process was started."""
    if stream is None:
        raise HostError("the process has no pipe", where="this machine")
    return stream


async def _end(process: asyncio.subprocess.Process) -> None:
    """It has ended, or is told to; what doesn't listen is killed, with all that it started in its session."""
    for telling in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, telling)
        # Not asyncio.timeout(): before Python 3.11.3 it ends by a cancellation in a task that is cancelled already, as
        # by Ctrl-C, and what doesn't listen would never be killed.
        await asyncio.wait([asyncio.create_task(process.wait())], timeout=STOP_SECONDS)
