"""From SIGTERM on this process says that it isn't ready, and may keep serving for a while."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.readiness import Readiness


@contextmanager
def drain_on_sigterm(readiness: Readiness, *, delay: float) -> Iterator[None]:
    """Stand in front of the server's own handler, which closes the listener at once.

    With a `delay`, the listener stays open that long while /readiness answers 503: for proxies that
    find out by asking. A proxy that is told to stop sending before the signal needs none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    servers_handler = signal.getsignal(signal.SIGTERM)
    if not callable(servers_handler):
        yield
        return
    stop = servers_handler
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: FrameType | None) -> None:
        readiness.drain()
        if delay > 0:
            loop.call_soon_threadsafe(loop.call_later, delay, stop, number, None)
        else:
            stop(number, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
