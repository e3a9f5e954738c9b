"""Log lines: JSON, complete, and without secrets."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from app.logs import MAX_TURN, write_line
from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parents[3]
Lines = Callable[[], list[dict[str, Any]]]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def test_a_line_says_when_what_where_and_from_which_release(log_lines: Lines) -> None:
    logger.info("hello {}", "world")
    (line,) = log_lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "message": "hello world",
        "logger": __name__,
        "service": "links",
        "env": "test",
        "release": "r1",
    }


def test_standard_logging_comes_out_the_same_way(log_lines: Lines) -> None:
    logging.getLogger("some.package").warning("100%% of {braces} %s", {"a": 1})
    (line,) = log_lines()
    assert (line["logger"], line["level"]) == ("some.package", "warning")
    assert line["message"] == "100% of {braces} {'a': 1}"


def test_a_traceback_is_inside_the_line_and_holds_no_values_of_variables(log_lines: Lines) -> None:
    def fail(card_number: str) -> None:
        raise ValueError("no")

    try:
        fail("4111-1111")
    except ValueError:
        logging.getLogger("some.package").exception("it failed")
    (line,) = log_lines()
    assert line["exception.type"] == "ValueError"
    assert "in fail" in line["exception.stacktrace"]
    assert "4111-1111\n" not in line["exception.stacktrace"].replace('fail("4111-1111")', "")


def test_what_json_does_not_know_is_still_logged(log_lines: Lines) -> None:
    logger.bind(thing=object(), pair={1, 2}).info("line\nbreak \ud83d and \x00")
    assert len(log_lines()) == 1


WRITER = """
import sys
from app.logs import write_line
print("here", file=sys.stderr, flush=True)
sys.stdin.read()
for _ in range(40):
    write_line({"by": sys.argv[1] * int(sys.argv[2])})
"""
STOPPED = """
import os, signal
from app.logs import _wait_for_turn
_wait_for_turn()
os.kill(os.getpid(), signal.SIGSTOP)
"""


def python(program: str, *arguments: str, stdout: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)


def test_lines_of_several_processes_do_not_mix_where_the_pipe_is_full() -> None:
    """A pipe holds 64 kB: of long lines it takes pieces, short ones would go between."""
    reading, writing = os.pipe()
    writers = [python(WRITER, by, length, stdout=writing) for by, length in (("a", "12000"), ("b", "9000"), ("c", "9"))]
    os.close(writing)
    for writer in writers:
        assert writer.stderr and writer.stderr.readline() == b"here\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
    written = b""
    while piece := os.read(reading, 16384):
        written += piece
        time.sleep(0.0005)
    os.close(reading)
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert Counter(written.splitlines()) == {
        b'{"by":"' + b"a" * 12000 + b'"}': 40,
        b'{"by":"' + b"b" * 9000 + b'"}': 40,
        b'{"by":"' + b"c" * 9 + b'"}': 40,
    }


@pytest.mark.slow
def test_a_process_that_stands_still_with_its_turn_keeps_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr("app.logs.STDOUT", writing)
    stopped = python(STOPPED, stdout=writing)
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
    began = time.monotonic()
    write_line({"a": 1})
    assert MAX_TURN <= time.monotonic() - began < MAX_TURN + 5
    stopped.kill()
    stopped.wait(10)
    began = time.monotonic()
    write_line({"b": 2})
    assert time.monotonic() - began < MAX_TURN
    assert os.read(reading, 100) == b'{"a":1}\n{"b":2}\n'
    os.close(reading)
    os.close(writing)


async def test_a_request_leaves_one_access_line(client: httpx.AsyncClient, log_lines: Lines) -> None:
    answer = await client.get(
        "/links/unknown?token=hunter2",
        headers={"user-agent": "test/1", "traceparent": f"00-{TRACE}-{SPAN}-01"},
    )
    (line,) = log_lines()
    assert line["logger"] == "access"
    assert line["http.request.method"] == "GET"
    assert line["http.route"] == "/links/{slug}"
    assert line["url.path"] == "/links/unknown"
    assert line["http.response.status_code"] == 404
    assert 0 < line["http.server.request.duration"] < 5
    assert line["client.address"] == "127.0.0.1"
    assert line["user_agent.original"] == "test/1"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
    assert "hunter2" not in str(line)


@pytest.mark.parametrize("path", ["/health", "/readiness", "/metrics"])
async def test_probes_leave_no_access_line(client: httpx.AsyncClient, log_lines: Lines, path: str) -> None:
    await client.get(path)
    assert [line for line in log_lines() if line["logger"] == "access"] == []


@pytest.mark.parametrize(("level", "statuses"), [("INFO", [200, 500]), ("WARNING", [500]), ("ERROR", [])])
async def test_access_lines_have_levels_like_all_others(
    settings: Settings, log_lines: Lines, level: str, statuses: list[int]
) -> None:
    app = create_app(settings.model_copy(update={"log_level": level}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get("/links")
        app.state.links = None
        await client.get("/links")
    written = [line for line in log_lines() if line["logger"] == "access"]
    assert [line["http.response.status_code"] for line in written] == statuses
    assert {line["level"] for line in written} <= {"info", "warning"}


async def test_a_request_is_answered_when_nobody_reads_the_log(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr("app.logs.STDOUT", writing)
    answer = await client.get("/links")
    os.close(writing)
    assert answer.status_code == 200


async def test_a_path_that_is_no_route_has_no_route_template(client: httpx.AsyncClient, log_lines: Lines) -> None:
    await client.get("/no/such/path")
    assert log_lines()[0]["http.route"] is None


@pytest.mark.parametrize("given", ["req-12345678", "0af76519-16cd-43dd-8448-eb211c80319c", "a" * 128])
async def test_a_well_formed_request_id_is_taken_over(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health", headers={"x-request-id": given})
    assert answer.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "short", "a" * 129, 'quote"quote', "new\tline-line", "space space"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health", headers={"x-request-id": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "header",
    [f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}", "x"],
)
async def test_a_malformed_traceparent_is_ignored(client: httpx.AsyncClient, log_lines: Lines, header: str) -> None:
    await client.get("/links", headers={"traceparent": header})
    assert "trace_id" not in log_lines()[0]
