"""The proxy's admin API where it doesn't answer as one would like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portside import proxy_admin
from portside.errors import HostError
from portside.proxy_admin import Admin


@asynccontextmanager
async def caddy(socket: Path, *, hangs_up: int) -> AsyncIterator[list[bytes]]:
    """A server that hangs up on the first that come, and runs with the configuration {"a": 1}; what it was sent."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if len(asked) > hangs_up:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}')
        writer.close()

    async with await asyncio.start_unix_server(answer, socket):
        yield asked


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_admin, "AGAIN_AFTER", 0.01)


async def test_one_that_hangs_up_while_it_loads_what_others_changed_is_asked_again(tmp_path: Path) -> None:
    async with caddy(tmp_path / "admin.sock", hangs_up=2) as asked:
        assert await Admin(tmp_path / "admin.sock", "web-1").configuration() == {"a": 1}
        assert len(asked) == 3
        await Admin(tmp_path / "admin.sock", "web-1").load("{}")
        assert asked[3].startswith(b"POST /load ")


@pytest.mark.parametrize("size", [2, 2_000_000])
async def test_one_that_hangs_up_with_the_request_unread_is_asked_again(tmp_path: Path, size: int) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            # Until the request is there, of which a hang-up then leaves bytes.
            await asyncio.sleep(0.05)
            writer.transport.abort()
            return
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "admin.sock"):
        await Admin(tmp_path / "admin.sock", "web-1").load("x" * size)
    assert asked == 2


async def test_one_that_always_hangs_up_is_named(tmp_path: Path) -> None:
    async with caddy(tmp_path / "admin.sock", hangs_up=100) as asked:
        with pytest.raises(HostError, match="the proxy's admin socket doesn't answer") as caught:
            await Admin(tmp_path / "admin.sock", "web-1").configuration()
        assert caught.value.where == "web-1"
        assert "docker rm -f portside-proxy-caddy-1. Then: invoke host-bootstrap" in caught.value.remedy
        assert len(asked) == proxy_admin.TRIES
