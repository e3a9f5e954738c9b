"""Blocking work beside the event loop, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(act: Callable[[], T], *, name: str) -> T:
    """What `act` returns or raises. asyncio's own threads are waited for when the command ends, and one that is stuck
    in a library would keep it from ending: this one is left behind by whoever stops waiting."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def succeed(value: T) -> None:
        if not done.done():
            done.set_result(value)

    def fail(error: Exception) -> None:
        if not done.done():
            done.set_exception(error)

    def work() -> None:
        tell: Callable[[], object]
        try:
            value = act()
        except Exception as error:  # told to whoever waits
            caught = error
            tell = lambda: loop.call_soon_threadsafe(fail, caught)  # noqa: E731
        else:
            tell = lambda: loop.call_soon_threadsafe(succeed, value)  # noqa: E731
        try:
            tell()
        except RuntimeError:  # the command has ended
            return

    threading.Thread(target=work, name=name, daemon=True).start()
    return await done
