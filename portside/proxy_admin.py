"""The admin API of a host's Caddy: load a configuration, and see what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from portside.errors import HostError

ADMIN_SOCKET = "proxy/run/admin.sock"
ADMIN_SECONDS = 15
TRIES = 6
# A bootstrap starts a proxy that is gone, with its route; one that runs it would tell of it through this very socket.
ANEW = "There: docker rm -f portside-proxy-caddy-1. Then: invoke host-bootstrap --env {env}, which starts it anew."
AGAIN_AFTER = 0.2
# Between two looks at what is under way: a service that is quiet at once need not be waited for.
FIRST_LOOKS_APART = 0.03
LOOKS_APART = 0.1


@dataclass(frozen=True)
class Answer:
    """What the admin API said."""

    status: int
    body: bytes


class Admin:
    """The admin API of one host's Caddy, through a tunnel."""

    def __init__(self, socket: Path, host: str) -> None:
        self._socket = socket
        self._host = host

    async def load(self, configuration: str) -> None:
        """Replace the whole configuration. Raises HostError with Caddy's own words when it refuses."""
        answer = await self._request("POST", "/load", configuration)
        if answer.status != 200:
            raise HostError(
                "the proxy refused its configuration",
                where=self._host,
                why=answer.body.decode(errors="replace")[:1000],
                remedy="Nothing was changed. Check domain, http and https of the environment.",
            )

    async def configuration(self) -> Any:
        """What Caddy runs with at this moment, as it was loaded."""
        return self._understood((await self._request("GET", "/config/")).body)

    async def active_requests(self) -> Mapping[str, int]:
        """Requests under way, by upstream address."""
        answer = await self._request("GET", "/reverse_proxy/upstreams")
        try:
            return {each["address"]: int(each["num_requests"]) for each in self._understood(answer.body)}
        except (KeyError, TypeError, ValueError) as error:
            raise self._nonsense(answer.body, error) from None

    async def drained(self, addresses: list[str], deadline: float) -> int:
        """Wait until no request is under way at `addresses`, `deadline` seconds at most; how many are left."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        quiet = False
        pause = FIRST_LOOKS_APART
        while True:
            active = await self.active_requests()
            left = sum(active.get(address, 0) for address in addresses)
            # Twice in a row: one look may fall between two requests that the slot behind still gets.
            if (left == 0 and quiet) or loop.time() >= until:
                return left
            quiet = left == 0
            await asyncio.sleep(pause)
            pause = LOOKS_APART

    def _understood(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise self._nonsense(body, error) from None

    def _nonsense(self, body: bytes, error: Exception) -> HostError:
        return HostError(
            "the proxy's admin API answers what can't be understood",
            where=self._host,
            why=f"{type(error).__name__}: {error}\n{body[:200].decode(errors='replace')}",
        )

    async def _request(self, method: str, path: str, body: str = "") -> Answer:
        try:
            async with asyncio.timeout(ADMIN_SECONDS):
                return await self._answered(method, path, body.encode())
        except (OSError, HTTPException) as error:
            raise HostError(
                "the proxy's admin socket doesn't answer",
                where=self._host,
                why=str(error) or type(error).__name__,
                remedy="Look at `docker logs portside-proxy-caddy-1` there. Where that names no cause, start it anew.\n"
                + ANEW.format(env="ENV"),
            ) from None

    async def _answered(self, method: str, path: str, body: bytes) -> Answer:
        """Asked again where it hangs up without a word, as a Caddy does that loads what another site has changed.

        A configuration may be loaded twice: whoever was overtaken in between finds that out when it is kept.
        """
        for _ in range(TRIES - 1):
            # Which of the two, and from where, depends on how much of the request it had read.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                return await self._ask(method, path, body)
            await asyncio.sleep(AGAIN_AFTER)
        return await self._ask(method, path, body)

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        """In the event loop: threads would be a handful for all hosts, and each waits for the network most of its time.

        No HTTP library: importing one takes longer than a rollback's requests.
        """
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: caddy\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            return _answer(await reader.read())
        finally:
            writer.close()


class _Received:
    """What http.client takes for a socket: an answer that is here already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _answer(data: bytes) -> Answer:
    """An HTTP answer from its bytes. Raises HTTPException."""
    parsed = HTTPResponse(_Received(data))  # type: ignore[arg-type]
    parsed.begin()
    return Answer(parsed.status, parsed.read())
