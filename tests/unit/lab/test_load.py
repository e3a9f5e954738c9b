"""A load generator that misses a dropped request, or invents one, is worse than none."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from portside.errors import ConfigError
from portside.load import Load, Report, links, load_process, pages

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def server(reply: Callable[[int, bytes], Awaitable[bytes | None]]) -> AsyncIterator[str]:
    """A server that answers the n-th request (from 1) with `reply(n, request)`, or hangs up on None."""
    numbers = itertools.count(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
                body = await reader.readexactly(int(length[0].split()[1])) if length else b""
                answer = await reply(next(numbers), head + body)
                if answer is None:
                    break
                writer.write(answer)
                if b"Connection: close" in answer or b"Content-Length: 99" in answer:
                    await writer.drain()
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def until(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_every_request_of_a_healthy_server_is_a_success() -> None:
    served = 0

    async def reply(number: int, _request: bytes) -> bytes:
        nonlocal served
        served = number
        return OK

    async with server(reply) as url, Load(url, pages(["/a", "/b"]), connections=3) as load:
        await until(lambda: load.report.requests > 200)
    assert load.report.failed == 0
    assert load.report.requests == served
    assert {kind for kind, report in load.report.kinds.items() if report.requests} == {"GET /a", "GET /b"}


async def test_each_hang_up_is_one_failed_request_and_none_is_sent_again() -> None:
    served = hung_up = 0

    async def reply(number: int, _request: bytes) -> bytes | None:
        nonlocal served, hung_up
        served = number
        if number % 10:
            return OK
        hung_up += 1
        return None

    async with server(reply) as url, Load(url, pages(["/"]), connections=4) as load:
        await until(lambda: hung_up >= 12)
    report = load.report
    assert report.requests == served
    assert report.failed == hung_up
    assert report.kinds["GET /"].errors == {"connection closed without an answer": hung_up}
    assert len(report.failures) == min(hung_up, 20)


async def test_a_connection_closed_with_notice_after_an_answer_is_no_failure() -> None:
    async def reply(number: int, _request: bytes) -> bytes:
        return OK if number % 3 else OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    async with server(reply) as url, Load(url, pages(["/"]), connections=2) as load:
        await until(lambda: load.report.requests > 100)
    assert load.report.failed == 0


async def test_half_an_answer_is_a_failure() -> None:
    async def reply(number: int, _request: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf" if number == 5 else OK

    async with server(reply) as url, Load(url, pages(["/"]), connections=1) as load:
        await until(lambda: load.report.requests > 20)
    assert load.report.kinds["GET /"].errors == {"connection closed in the middle of the answer": 1}


async def test_an_answer_that_is_not_http_is_a_failure() -> None:
    async def reply(number: int, _request: bytes) -> bytes:
        return b"what?\r\n\r\n" if number == 2 else OK

    async with server(reply) as url, Load(url, pages(["/"]), connections=1) as load:
        await until(lambda: load.report.requests > 5)
    assert load.report.failed == 1
    assert load.report.failures[0].outcome.startswith("not an HTTP answer")


async def test_a_status_that_is_not_accepted_is_a_failure_and_counted_by_its_number() -> None:
    async def reply(number: int, _request: bytes) -> bytes:
        return OK if number % 2 else OK.replace(b"200 OK", b"503 Service Unavailable")

    async with server(reply) as url, Load(url, pages(["/"]), connections=1) as load:
        await until(lambda: load.report.requests > 50)
    kind = load.report.kinds["GET /"]
    assert kind.failed == kind.statuses[503]
    assert kind.statuses[200] + kind.statuses[503] == kind.requests


async def test_nobody_listening_is_counted_in_the_systems_words() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with Load(f"http://127.0.0.1:{port}", pages(["/"]), connections=2) as load:
        await until(lambda: load.report.requests >= 4)
    assert load.report.kinds["GET /"].errors == {os.strerror(errno.ECONNREFUSED): load.report.requests}


async def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    async def reply(number: int, _request: bytes) -> bytes:
        if number == 3:
            await asyncio.sleep(5)
        return OK

    async with server(reply) as url, Load(url, pages(["/"]), connections=1, timeout=0.5) as load:
        await until(lambda: load.report.failed > 0)
    assert load.report.kinds["GET /"].errors == {"no answer within 0.5 s": 1}


async def test_requests_under_way_at_the_end_are_waited_for_and_counted() -> None:
    arrived = asyncio.Event()

    async def reply(_number: int, _request: bytes) -> bytes:
        arrived.set()
        await asyncio.sleep(0.2)
        return OK

    async with server(reply) as url, Load(url, pages(["/"]), connections=1) as load:
        await arrived.wait()
    assert (load.report.requests, load.report.failed) == (1, 0)
    # How much longer it takes is the machine's business.
    assert load.report.latency_ms.p50 > 190


async def test_the_rate_is_an_upper_bound() -> None:
    async def reply(_number: int, _request: bytes) -> bytes:
        return OK

    async with server(reply) as url, Load(url, pages(["/"]), connections=4, rate=100) as load:
        await asyncio.sleep(0.5)
    assert 20 <= load.report.requests <= 52


async def test_links_are_made_under_new_names_and_only_made_ones_are_followed() -> None:
    made: set[str] = set()
    strangers: list[bytes] = []

    async def reply(_number: int, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        if head.startswith(b"POST /links "):
            slug = json.loads(body)["slug"]
            assert slug not in made
            made.add(slug)
            return b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        if head.split()[1].decode().removeprefix("/") not in made:
            strangers.append(head)
        return b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n"

    async with server(reply) as url, Load(url, links(Random(1)), connections=4) as load:  # noqa: S311
        await until(lambda: load.report.requests > 500)
    assert strangers == []
    assert load.report.failed == 0
    assert load.report.kinds["make a link"].requests == len(made)
    assert load.report.kinds["follow a link"].requests > 5 * len(made)


async def test_a_base_url_that_is_none_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="base URL"):
        Load("localhost:8000", pages(["/"]))


async def test_a_load_in_its_own_process_reports_while_it_runs_and_when_it_ends() -> None:
    served = 0

    async def reply(number: int, _request: bytes) -> bytes | None:
        nonlocal served
        served = number
        return None if number == 7 else OK

    async with server(reply) as url:
        async with load_process(url, paths=["/"], connections=2, every=0.1) as load:
            await until(lambda: load.report.requests > 50)
        assert load.report.requests == served
        assert load.report.failed == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_process_with_its_report(number: signal.Signals) -> None:
    served = 0

    async def reply(request: int, _request: bytes) -> bytes:
        nonlocal served
        served = request
        return OK

    async with server(reply) as url:
        argv = [sys.executable, "-m", "portside.load", url, "--get", "/", "--rate", "200", "--json"]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        await until(lambda: served > 10)
        process.send_signal(number)
        stdout, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert Report.model_validate_json(stdout).requests == served
