"""The benchmark of many hosts: its wire keeps everything in order, its ratios are of one round, a culprit is told."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.scale.deployer import Deployed
from bench.scale.measure import CULPRIT, Cell, Trouble
from bench.scale.wire import Wire


def deployed(seconds: float, code: int = 0, said: str = "", **data: Any) -> Deployed:
    return Deployed(seconds, 1.0, 80.0, code, {"exchanges": {"a": 7, "b": 8}, **data}, said)


class Echo(asyncio.Protocol):
    """Answers what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


async def test_what_goes_through_a_slow_wire_arrives_whole_and_in_order_also_when_it_gets_faster() -> None:
    wire = Wire(latency=0.02)
    async with await wire.create_server(lambda *_: Echo(), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sent = [f"{number}\n".encode() for number in range(200)]
        for number, line in enumerate(sent):
            writer.write(line)
            if number == 100:
                await writer.drain()
                wire.latency = 0.0
            await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.readexactly(len(b"".join(sent))), 10) == b"".join(sent)
        writer.close()


async def test_a_dead_wire_tells_nobody() -> None:
    wire = Wire()
    async with await wire.create_server(lambda *_: Echo(), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"there?")
        assert await asyncio.wait_for(reader.readexactly(6), 10) == b"there?"
        wire.dead = True
        writer.write(b"there?")
        done, _ = await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=0.1)
        assert not done
        writer.close()


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    one = Cell(1, 0.2, (deployed(10), deployed(20), deployed(10)))
    many = Cell(100, 0.2, (deployed(12), deployed(22), deployed(30)))
    assert many.ratio(one) == 1.2
    assert many.exchanges == 8


def test_trouble_is_told_as_the_deployer_told_it() -> None:
    waited = Trouble(
        "slow", deployed(20, said=f"14:03:12 {CULPRIT}: x\n14:03:13 waiting for {CULPRIT} (start, 10 s)\n")
    )
    assert waited.told == f"waiting for {CULPRIT} (start, 10 s)"
    failed = Trouble("refused", deployed(1, 4, where=CULPRIT, error="can't connect", why="[Errno 111]"))
    assert failed.told == f"{CULPRIT}: can't connect"
