"""One protocol for every place a release can go to: over SSH, or this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from portside.command import Result

T = TypeVar("T")

Input = bytes | AsyncIterator[bytes]


@dataclass
class Traffic:
    """What a command cost at one host: exchanges (one request, one answer) and bytes of payload."""

    exchanges: int = 0
    sent: int = 0
    received: int = 0


class Channel(Protocol):
    """A command that keeps running: lines in, lines out."""

    async def readline(self, timeout: float) -> bytes:
        """The next line with its newline; b"" at the end. Raises HostError when `timeout` (seconds) passes."""

    async def read_until(self, marker: bytes, timeout: float) -> bytes:
        """Everything up to `marker`, with it; less than that at the end. Raises HostError as `readline` does."""

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> Result:
        """Close its standard input and wait for its end."""


class Host(Protocol):
    """A machine with a Docker Engine."""

    name: str
    traffic: Traffic

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        """Run `argv` to its end, whatever its exit code. `timeout` is in seconds.

        Raises HostError when the host is lost or the time-out passes; what runs there is then told to stop.
        """

    async def open(self, argv: Sequence[str], *, stderr_to_stdout: bool = False) -> Channel:
        """Start `argv` and leave it running."""

    async def tunnel(self, socket: str) -> Path:
        """A socket on this machine that leads to the unix socket with the absolute path `socket` there."""

    async def reach(self, socket: str) -> None:
        """Raises HostError that says why the unix socket `socket` can't be reached from here."""

    async def close(self) -> None: ...


async def answered(reading: asyncio.Future[T], feed: asyncio.Task[None]) -> T:
    """What `reading` a command's answers gives, while `feed` gives it its input.

    Input that fails ends both with its own error: the command would wait for the rest of it for ever.
    """
    try:
        await asyncio.wait((reading, feed), return_when=asyncio.FIRST_COMPLETED)
        if feed.done():
            feed.result()
        return await reading
    finally:
        reading.cancel()
        feed.cancel()
        await asyncio.gather(reading, feed, return_exceptions=True)
