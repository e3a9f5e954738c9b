"""One keep-alive HTTP/1.1 connection that never repeats a request.

Not an HTTP library on purpose: those repeat a request by themselves when a kept-alive connection turns out
to be closed, and what they repeat is what a load generator has to count.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from portside.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """Where to connect, and what to say in the Host header."""

    address: str
    port: int
    host: str
    tls: bool

    @classmethod
    def of(cls, base_url: str, *, host: str | None = None) -> Target:
        """Raises ConfigError unless `base_url` is http(s)://name[:port]."""
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(
                "not the base URL of a service", where=base_url, remedy="it looks like http://127.0.0.1:8000"
            )
        tls = url.scheme == "https"
        return cls(url.hostname, url.port or (443 if tls else 80), host or url.netloc, tls)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


class DroppedError(Exception):
    """A request got no answer. The text is the same for all requests that were lost in the same way."""

    @classmethod
    def because(cls, error: BaseException) -> DroppedError:
        """With the system's own words, but without addresses and ports: they differ for every request."""
        number = getattr(error, "errno", None)
        return cls(os.strerror(number) if number else str(error) or type(error).__name__)


class Connection(asyncio.Protocol):
    """Sends one request at a time. `open` turns false when it can't be used any more."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._bodiless = False
        self._parser = httptools.HttpResponseParser(self)
        self.on_message_begin()
        self._begun = False

    @classmethod
    async def to(cls, target: Target) -> Connection:
        """Raises DroppedError."""
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if target.tls else None
        try:
            _, connection = await loop.create_connection(cls, target.address, target.port, ssl=tls)
        except OSError as error:
            raise DroppedError.because(error) from error
        return connection

    async def send(self, request: bytes, *, bodiless: bool = False, rest: AsyncIterator[bytes] | None = None) -> Answer:
        """Raises DroppedError when the connection ends before the answer does.

        `bodiless`: the answer has no body, whatever its head says (HEAD). `rest` is sent after `request`, as it comes,
        and left unsent where the answer is there before.
        """
        if self._transport is None or not self.open:
            raise DroppedError("connection is closed")
        self._bodiless = bodiless
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._transport.write(request)
        try:
            if rest is not None:
                async for piece in rest:
                    if answer.done() or not self.open:
                        break
                    self._transport.write(piece)
            return await answer
        finally:
            self._answer = None

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
            if self._bodiless and self._headed:
                # This parser can't be told that no body follows.
                self.on_message_complete()
                self._parser = httptools.HttpResponseParser(self)
                self.on_message_begin()
                self._begun = False
        except httptools.HttpParserError as error:
            self._drop(DroppedError(f"not an HTTP answer: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._ends_with_connection and exc is None:
            self.on_message_complete()
        elif exc is not None:
            self._drop(DroppedError.because(exc))
        elif self._begun:
            self._drop(DroppedError("connection closed in the middle of the answer"))
        else:
            self._drop(DroppedError("connection closed without an answer"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begun = True
        self._framed = False
        self._headed = False
        self._ends_with_connection = False
        self._body = bytearray()

    def on_header(self, name: bytes, _value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        bodiless = self._bodiless or self._parser.get_status_code() in (204, 304)
        self._ends_with_connection = not self._framed and not bodiless
        self._headed = True

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._headed = False
        answer = Answer(self._parser.get_status_code(), bytes(self._body))
        if not self._parser.should_keep_alive():
            self.close()
        self._begun = False
        self._ends_with_connection = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _drop(self, dropped: DroppedError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(dropped)
