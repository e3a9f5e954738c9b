"""A network that takes its time: what goes through a connection arrives `latency` seconds later, in either direction.

Bandwidth is without end, and nothing is lost: it is the number of round trips that shows. A connection costs one
round trip before its first byte, as TCP's does; the machine's own loopback would open it at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Wire:
    """The way to one host. Seconds in one direction; `dead`: nothing arrives any more, and nobody is told."""

    latency: float = 0.0
    dead: bool = False

    async def create_server(self, factory: Callable[[str, int], Any], host: str, port: int) -> asyncio.Server:
        """What asyncssh asks of a tunnel that it should listen on."""
        loop = asyncio.get_running_loop()
        # A host that others wait for may have many connections begun at once.
        return await loop.create_server(lambda: Delayed(factory("", 0), self), host, port, backlog=200)


class _Line:
    """One direction: calls that happen later, in their order even where the latency changes between them."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._loop = wire, asyncio.get_running_loop()
        self._due: deque[tuple[float, Callable[[], object]]] = deque()
        self._last = 0.0

    def later(self, act: Callable[[], object], *, trips: int = 1) -> None:
        self._last = max(self._last, self._loop.time() + trips * self._wire.latency)
        self._due.append((self._last, act))
        if len(self._due) == 1:
            self._loop.call_at(self._last, self._arrive)

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            act = self._due.popleft()[1]
            if not self._wire.dead:
                act()
        if self._due:
            self._loop.call_at(self._due[0][0], self._arrive)


class Delayed(asyncio.Protocol):
    """The host's end of one connection, behind its wire."""

    def __init__(self, inner: asyncio.Protocol, wire: Wire) -> None:
        self._inner, self._wire = inner, wire
        self._in, self._out = _Line(wire), _Line(wire)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Three trips until an accepting host knows of a connection: SYN, SYN-ACK, ACK.
        slow = _SlowTransport(transport, self._out)
        self._in.later(lambda: self._inner.connection_made(slow), trips=3)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._in.later(lambda: self._inner.data_received(data))

    def eof_received(self) -> bool:
        self._in.later(self._inner.eof_received)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._in.later(lambda: self._inner.connection_lost(exc))


class _SlowTransport:
    """What the SSH server writes to."""

    def __init__(self, transport: Any, line: _Line) -> None:
        self._transport, self._line = transport, line

    def write(self, data: bytes) -> None:
        self._line.later(lambda: self._transport.write(data))

    def close(self) -> None:
        self._line.later(self._transport.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
