"""What can be seen from outside while a release happens: which one answers, and when each phase began."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from portside.load.connection import Connection, DroppedError, Target
from portside.report import Reporter

INTERVAL = 0.05
PATIENCE = 10.0


@dataclass
class Sightings:
    """Answers of /health through the proxy: when, and by which release. Times are time.monotonic()'s."""

    asked: int = 0
    failed: int = 0
    seen: list[tuple[float, str]] = field(default_factory=list)

    def first(self, release: str, *, after: float = 0.0) -> float | None:
        """When `release` was first seen after that moment."""
        return next((at for at, found in self.seen if found == release and at >= after), None)

    def last(self, release: str) -> float | None:
        return next((at for at, found in reversed(self.seen) if found == release), None)


@contextlib.asynccontextmanager
async def watched(base_url: str) -> AsyncIterator[Sightings]:
    """Ask /health every INTERVAL seconds while the block runs, on a connection of its own. Never asks twice."""
    sightings = Sightings()
    stop = asyncio.Event()
    task = asyncio.create_task(_watch(Target.of(base_url), sightings, stop))
    try:
        yield sightings
    finally:
        stop.set()
        await task


async def _watch(target: Target, sightings: Sightings, stop: asyncio.Event) -> None:
    connection: Connection | None = None
    request = f"GET /health HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: portside-demo\r\n\r\n".encode()
    while not stop.is_set():
        sightings.asked += 1
        try:
            async with asyncio.timeout(PATIENCE):
                if connection is None or not connection.open:
                    connection = await Connection.to(target)
                answer = await connection.send(request)
            if answer.status == 200:
                sightings.seen.append((time.monotonic(), str(json.loads(answer.body)["release"])))
            else:
                sightings.failed += 1
        except (DroppedError, TimeoutError, ValueError, KeyError):
            sightings.failed += 1
            connection = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await stop.wait()
    if connection is not None:
        connection.close()


class Chapter:
    """A reporter for one release of the demo's one host: the release's title stands where the host's name would.

    Remembers when each phase began.
    """

    def __init__(self, reporter: Reporter, title: str, host: str) -> None:
        self._reporter, self._title, self._host = reporter, title, host
        self.began: dict[str, float] = {}

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        if outcome == "running":
            self.began.setdefault(phase, time.monotonic())
        self._reporter.phase(self._title if host == self._host else host, phase, outcome, seconds, note)

    def say(self, text: str) -> None:
        self._reporter.say(text)
