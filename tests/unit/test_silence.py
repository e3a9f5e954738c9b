"""What Alertmanager is told of a switch, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from portside.host.local import LocalHost
from portside.host.script import script_argv
from portside.observe.ask import loopback
from portside.silence import Silence, silence
from tests.unit import builders


def test_it_covers_this_environment_and_only_what_a_switch_may_trip() -> None:
    made = silence(builders.environment(bake=20, drain_deadline=30), "r2", "me@here", now=builders.NOW)
    assert made["matchers"] == [
        {"name": "env", "value": "prod", "isRegex": False, "isEqual": True},
        {"name": "switch", "value": "may-trip", "isRegex": False, "isEqual": True},
    ]
    starts, ends = (datetime.fromisoformat(str(made[key])) for key in ("startsAt", "endsAt"))
    assert starts == builders.NOW
    assert (ends - starts).total_seconds() == 20 + 30 + 60


@pytest.mark.parametrize(
    ("listen", "asked"),
    [
        ("127.0.0.1:9093", ("127.0.0.1", "9093")),
        ("0.0.0.0:1", ("127.0.0.1", "1")),
        ("[::]:1", ("::1", "1")),
        ("[::1]:9093", ("::1", "9093")),
        ("10.0.0.1:9093", ("10.0.0.1", "9093")),
    ],
)
def test_it_is_asked_where_it_listens(listen: str, asked: tuple[str, str]) -> None:
    assert loopback(listen) == asked


class Asked(HTTPServer):
    """An HTTP server on loopback that keeps what it was asked."""

    requests: list[tuple[str, str, str]]
    status = 200
    patience = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Asked

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.requests.append((self.command, self.path, body))
        self.server.patience.wait(10)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b'{"silenceID":"s-1"}')

    do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Asked]:
    server = Asked(("127.0.0.1", 0), Handler)
    server.requests, server.patience = [], threading.Event()
    server.patience.set()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.patience.set()
    server.shutdown()
    thread.join()
    server.server_close()


def made(server: Asked) -> Silence:
    config = builders.config()
    observe = config.observe.model_copy(update={"alertmanager": f"127.0.0.1:{server.server_address[1]}"})
    return Silence(config.model_copy(update={"observe": observe}), config.environment("prod"), [LocalHost()])


async def test_it_is_begun_without_waiting_and_lifted_by_its_id(server: Asked) -> None:
    quiet = made(server)
    quiet.begin("r2", "më@here")
    assert server.requests == []
    assert await quiet.problem() == ""
    assert await quiet.lift() == ""
    (posted, deleted) = server.requests
    assert posted[:2] == ("POST", "/api/v2/silences")
    assert json.loads(posted[2])["createdBy"] == "më@here"
    assert deleted == ("DELETE", "/api/v2/silence/s-1", "")


async def test_a_release_that_is_undone_before_the_answer_is_there_is_not_left_silent(server: Asked) -> None:
    server.patience.clear()
    quiet = made(server)
    quiet.begin("r2", "me")
    lifting = asyncio.create_task(quiet.lift())
    await asyncio.sleep(0.3)
    server.patience.set()
    assert await lifting == ""
    assert [request[0] for request in server.requests] == ["POST", "DELETE"]


async def test_an_alertmanager_that_refuses_or_is_not_there_is_a_line_and_no_more(server: Asked) -> None:
    server.status = 503
    quiet = made(server)
    quiet.begin("r2", "me")
    assert "answered 503" in await quiet.problem()
    server.shutdown()
    server.server_close()
    gone = made(server)
    gone.begin("r2", "me")
    assert "nothing answers at 127.0.0.1" in await gone.problem()
    assert "nothing answers" in await gone.lift()


async def test_nothing_was_begun_nothing_is_lifted(server: Asked) -> None:
    assert await made(server).lift() == ""
    assert server.requests == []


@pytest.mark.slow
def test_a_server_that_never_answers_costs_its_seconds_and_no_more(server: Asked) -> None:
    server.patience.clear()
    argv = script_argv("ask", "observability", "127.0.0.1", str(server.server_address[1]), "POST", "/", "1")
    done = subprocess.run(argv, input=b"{}", capture_output=True, check=False, timeout=30)
    assert done.returncode == 75
    assert b"within 1 s" in done.stderr
