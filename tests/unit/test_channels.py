"""A channel on this machine or over SSH: who is told to stop while its answer comes does stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from portside.host.base import Channel, Traffic
from portside.host.local import LocalChannel
from portside.host.ssh import SSHChannel


def local(process: Any) -> Channel:
    return LocalChannel(("lease",), process)


def over_ssh(process: Any) -> Channel:
    return SSHChannel(("lease",), process, "web-1", Traffic())


READS: dict[str, Callable[[Channel], Coroutine[Any, Any, bytes]]] = {
    "readline": lambda channel: channel.readline(10),
    "read_until": lambda channel: channel.read_until(b"\n", 10),
}


@pytest.mark.parametrize("made", [local, over_ssh])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("steps", range(6))
async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    made: Callable[[Any], Channel], read: str, steps: int
) -> None:
    """`steps` of the event loop after it: Python 3.11's `asyncio.wait_for` lost it at the first and the second."""
    stdout = asyncio.StreamReader()
    reading = asyncio.create_task(READS[read](made(SimpleNamespace(stdout=stdout))))
    await asyncio.sleep(0)
    stdout.feed_data(b"token 1\n")
    for _ in range(steps):
        await asyncio.sleep(0)
    heeded = reading.cancel()
    (answer,) = await asyncio.gather(reading, return_exceptions=True)
    assert isinstance(answer, asyncio.CancelledError) if heeded else answer == b"token 1\n"
