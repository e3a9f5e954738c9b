"""What runs against every host while something goes wrong there, and which of it may not be lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portside.load import Kind, KindReport, Load
from tests.faults.sockets import KIND as WEBSOCKET
from tests.faults.sockets import Sockets

# "nothing": all of it is promised. "in flight": what a container had under way when it was killed, but for what may be
# repeated. "host": whatever was asked of the host while it was gone.
Costs = Literal["nothing", "in flight", "host"]

OK = frozenset({200})
TIMEOUT = 30.0
UPLOAD = b"x" * 1_000_000
# A stream that has begun can't be begun again by a proxy: its client has half of it.
REPEATABLE = ("GET", "HEAD", "slow GET")


@dataclass(frozen=True)
class Lane:
    """One kind of traffic with connections of its own, so that slow ones don't hold up the others."""

    kind: Kind
    connections: int
    rate: float | None = None


LANES = (
    Lane(Kind("GET", 1, "GET", lambda: "/", OK), 2, 30),
    Lane(Kind("HEAD", 1, "HEAD", lambda: "/", OK), 1, 5),
    Lane(Kind("slow GET", 1, "GET", lambda: "/slow/5", OK), 2),
    Lane(Kind("POST", 1, "POST", lambda: "/echo", OK, lambda: b"x" * 200), 2, 10),
    Lane(Kind("upload", 1, "POST", lambda: "/upload", OK, lambda: UPLOAD, upload=2.0), 1),
    Lane(Kind("stream", 1, "GET", lambda: "/stream/3", OK), 1),
)
KINDS = (*(lane.kind.name for lane in LANES), WEBSOCKET)


@dataclass(frozen=True)
class Count:
    """Requests of one kind: sent, failed although promised, failed where nothing could be promised."""

    sent: int = 0
    failed: int = 0
    lost: int = 0

    def __add__(self, more: Count) -> Count:
        return Count(self.sent + more.sent, self.failed + more.failed, self.lost + more.lost)


Counts = Mapping[str, Count]


def added(counts: Sequence[Counts]) -> dict[str, Count]:
    return {kind: sum((count[kind] for count in counts if kind in count), Count()) for kind in KINDS}


class Stretch:
    """All lanes to one host, from one moment to another."""

    def __init__(self, url: str) -> None:
        self._loads: list[Load | Sockets] = [
            *(Load(url, [lane.kind], connections=lane.connections, rate=lane.rate, timeout=TIMEOUT) for lane in LANES),
            Sockets(url, clients=2, timeout=TIMEOUT),
        ]

    async def begin(self) -> None:
        for load in self._loads:
            await load.__aenter__()

    async def end(self) -> None:
        """Waits for what is under way, side by side."""
        await asyncio.gather(*(load.__aexit__(None, None, None) for load in self._loads))

    @property
    def kinds(self) -> dict[str, KindReport]:
        return {name: report for load in self._loads for name, report in load.report.kinds.items()}

    def failures(self) -> list[str]:
        return [
            f"{failure.kind} after {failure.at} s: {failure.outcome}"
            for load in self._loads
            for failure in load.report.failures
        ]


class HostTraffic:
    """One host's traffic: what was asked of it while it was there, and while it wasn't."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._present: list[Stretch] = []
        self._gone: list[tuple[Stretch, dict[str, KindReport]]] = []
        self._before: dict[str, KindReport] = {}
        self._now = Stretch(url)

    async def begin(self) -> None:
        await self._now.begin()

    async def flows(self, seconds: float) -> None:
        """Until every lane has had an answer, but for those that take seconds by themselves."""
        until = time.monotonic() + seconds
        quick = [lane.kind.name for lane in LANES if lane.rate]
        while not all(self._now.kinds[name].requests for name in quick):
            if time.monotonic() > until:
                raise AssertionError(f"no answers within {seconds:g} s: {self._now.failures()}")
            await asyncio.sleep(0.05)

    def goes(self) -> None:
        """The host is about to be gone: what fails from now on is no promise's."""
        self._before = self._now.kinds

    async def is_back(self) -> None:
        """The host answers again: what is asked of it from now on is promised."""
        stretch, self._now = self._now, Stretch(self._url)
        self._gone.append((stretch, self._before))
        await self._now.begin()
        await stretch.end()

    async def end(self) -> None:
        self._present.append(self._now)
        await self._now.end()

    def counts(self, costs: Costs) -> dict[str, Count]:
        found = []
        for stretch in self._present:
            for name, seen in stretch.kinds.items():
                lost = seen.failed if costs == "in flight" and name not in REPEATABLE else 0
                found.append({name: Count(seen.requests, seen.failed - lost, lost)})
        for stretch, before in self._gone:
            for name, seen in stretch.kinds.items():
                early = before[name].failed
                found.append({name: Count(seen.requests, early, seen.failed - early)})
        return added(found)

    def failures(self) -> list[str]:
        return [text for stretch in self._present for text in stretch.failures()]
