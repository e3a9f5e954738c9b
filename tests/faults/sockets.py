"""Websockets as traffic: conversations of a few seconds, one after the other, each counted once."""

from __future__ import annotations

import asyncio
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from portside.load.generator import Workers

KIND = "websocket"
MESSAGES = 15
PAUSE = 0.2
# 1001: the server says that it goes away. A client connects again, and that is how a service ends one in order.
IN_ORDER = (1000, 1001)
SWITCHED = 101


class Sockets(Workers):
    """Conversations while the `async with` block runs; as `portside.load.Load` for requests.

    One has failed when it could not begin, or ended without a goodbye.
    """

    def __init__(self, base_url: str, *, clients: int, timeout: float) -> None:
        super().__init__([KIND], clients)
        self._url = base_url.replace("http://", "ws://", 1) + "/socket"
        self._timeout = timeout

    async def _work(self) -> None:
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                await self._conversation()
            except (OSError, WebSocketException, TimeoutError) as error:
                self._tally.dropped(KIND, _words(error))
                await self._pause(PAUSE)
                continue
            self._tally.answered(KIND, SWITCHED, time.perf_counter() - began, accepted=True)

    async def _conversation(self) -> None:
        """Raises what a client gets when it fails."""
        async with connect(self._url, open_timeout=self._timeout, close_timeout=self._timeout, proxy=None) as socket:
            try:
                for number in range(MESSAGES):
                    await socket.send(str(number))
                    async with asyncio.timeout(self._timeout):
                        if await socket.recv() != str(number):
                            raise WebSocketException("another answer than was asked for")
                    await self._pause(PAUSE)
            except ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code not in IN_ORDER:
                    raise


def _words(error: BaseException) -> str:
    """The same for all that failed in the same way."""
    if isinstance(error, ConnectionClosed):
        return "closed without a goodbye" if error.rcvd is None else f"closed with {error.rcvd.code}"
    return str(error).split(":")[0] or type(error).__name__
