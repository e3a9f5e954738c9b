"""The load generator: some connections, each sending one request after the other until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from random import Random
from types import TracebackType
from typing import Self

from portside.load.connection import Answer, Connection, DroppedError, Target
from portside.load.mix import Kind
from portside.load.report import Report, Tally

# An upload that takes its time is sent in so many pieces a second.
PIECES = 10
# A server that is away refuses thousands of connections per second: that says no more than a few do.
PAUSE_AFTER_DROP = 0.05


class Workers(ABC):
    """Some who send one thing after the other while the `async with` block runs; `report` is up to date at any time.

    At the end of the block, what is under way is waited for and counted.
    """

    def __init__(self, kinds: Sequence[str], count: int) -> None:
        self._kinds = tuple(kinds)
        self._size = count
        self._stop = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._tally = Tally(self._kinds, time.monotonic)

    @property
    def report(self) -> Report:
        return self._tally.report()

    async def __aenter__(self) -> Self:
        self._tally = Tally(self._kinds, time.monotonic)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._size)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        try:
            await asyncio.gather(*self._workers)
        finally:
            for worker in self._workers:
                worker.cancel()
            self._tally.end()

    @abstractmethod
    async def _work(self) -> None:
        """What each of them does until `_stop` is set."""

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


class Load(Workers):
    """Traffic while the `async with` block runs; `report` is up to date at any time.

    Nothing is sent twice: a request that got no answer is counted as failed. `rate` is the most requests
    per second over all connections. A request has failed when it took longer than `timeout` seconds,
    connecting included. At the end of the block, requests under way are waited for and counted.
    """

    def __init__(
        self,
        base_url: str,
        mix: Sequence[Kind],
        *,
        connections: int = 8,
        rate: float | None = None,
        timeout: float = 10.0,
        host: str | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__([kind.name for kind in mix], connections)
        self._target = Target.of(base_url, host=host)
        self._mix = tuple(mix)
        self._weights = tuple(kind.weight for kind in mix)
        self._interval = 1 / rate if rate else 0.0
        self._timeout = timeout
        self._random = random or Random()  # noqa: S311
        self._next_slot = 0.0

    async def _work(self) -> None:
        connection: Connection | None = None
        try:
            while await self._slot():
                connection = await self._request(connection)
        finally:
            if connection is not None:
                connection.close()

    async def _request(self, connection: Connection | None) -> Connection | None:
        """Send one request and count it; return the connection if it can be used again."""
        kind, path = self._pick()
        if kind is None:
            await self._pause(PAUSE_AFTER_DROP)
            return connection
        body = kind.body() if kind.body else b""
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                if connection is None or not connection.open:
                    connection = None
                    connection = await Connection.to(self._target)
                head = self._head(kind.method, path, body)
                answer = await connection.send(
                    head if kind.upload else head + body,
                    bodiless=kind.method == "HEAD",
                    rest=_pieces(body, kind.upload) if kind.upload else None,
                )
        except (DroppedError, TimeoutError) as error:
            text = str(error) if isinstance(error, DroppedError) else f"no answer within {self._timeout:g} s"
            self._tally.dropped(kind.name, text)
            if connection is not None:
                connection.close()
            await self._pause(PAUSE_AFTER_DROP)
            return None
        self._count(kind, body, answer, time.perf_counter() - begun)
        return connection

    def _count(self, kind: Kind, body: bytes, answer: Answer, seconds: float) -> None:
        accepted = answer.status in kind.accepted
        self._tally.answered(kind.name, answer.status, seconds, accepted=accepted, body=answer.body)
        if accepted and kind.succeeded:
            kind.succeeded(body)

    def _pick(self) -> tuple[Kind, str] | tuple[None, str]:
        chosen = self._random.choices(self._mix, self._weights)[0]
        for kind in (chosen, *self._mix):
            path = kind.path()
            if path is not None:
                return kind, path
        return None, ""

    def _head(self, method: str, path: str, body: bytes) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._target.host}\r\nUser-Agent: portside-load\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n"

    async def _slot(self) -> bool:
        """Wait until the next request may be sent; False when none is to be."""
        if self._interval:
            now = time.monotonic()
            slot = max(self._next_slot, now)
            self._next_slot = slot + self._interval
            if slot > now:
                await self._pause(slot - now)
        return not self._stop.is_set()


async def _pieces(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    """`body` in pieces, evenly over `seconds`."""
    count = max(1, round(seconds * PIECES))
    size = -(-len(body) // count)
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]
        await asyncio.sleep(seconds / count)
