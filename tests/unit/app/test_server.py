"""The service under a real Gunicorn, with the configuration and start command of the image."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
Eventually = Callable[..., None]

SLOW_APP = '''
"""A tiny application with a slow route, for the worker class and configuration of the service."""
import asyncio, os, pathlib

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        open(os.environ["SHUTDOWN_MARK"], "w").close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].startswith("/slow/"):
        pathlib.Path(os.environ["DATA_DIR"], "slow").write_text(str(os.getpid()))
        await asyncio.sleep(float(scope["path"].removeprefix("/slow/")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
'''

EXTRA_APP = '''
"""The service with routes that do what no service should."""
import asyncio, os, pathlib, sys
from starlette.responses import PlainTextResponse
from app.asgi import app

@app.get("/bench/who")
async def who():
    return PlainTextResponse(str(os.getpid()))

@app.get("/bench/hang")
async def hang(mark: str):
    pathlib.Path(mark).write_text(str(os.getpid()))
    await asyncio.sleep(60)

@app.get("/bench/exit")
async def leave():
    asyncio.get_running_loop().call_later(0.05, sys.exit, 1)
'''


def value(server: Any, family: str, sample: str, **labels: str) -> float:
    """The sum of a sample's series; 0 as well when the worker that is asked has just been told to end."""
    answer = server.get("/metrics")
    text = answer.text if answer.status_code == 200 else ""
    families = {found.name: found for found in text_string_to_metric_families(text)}
    samples = families[family].samples if family in families else []
    return sum(s.value for s in samples if s.name == sample and s.labels.items() >= labels.items())


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Any]) -> Any:
    return start_server()


def test_it_has_as_many_workers_as_it_was_told(server: Any, eventually: Eventually) -> None:
    eventually(lambda: len(server.worker_pids()) == 2)


@pytest.mark.parametrize(("written", "workers"), [("", 1), ("2.0", 2)])
def test_the_number_of_workers_may_be_written_as_the_settings_take_it(
    start_server: Callable[..., Any], eventually: Eventually, written: str, workers: int
) -> None:
    server = start_server(WEB_CONCURRENCY=written)
    eventually(lambda: len(server.worker_pids()) >= workers)


def exits(server: Any) -> dict[str, float]:
    """By reason, those that have happened. Nothing when the worker that is asked is just ending."""
    counted = {}
    for reason in ("signal", "error", "timeout", "recycled"):
        with suppress(httpx.TransportError):
            counted[reason] = value(server, "app_worker_exits", "app_worker_exits_total", reason=reason, release="r1")
    return {reason: number for reason, number in counted.items() if number}


def test_sums_survive_a_killed_worker_and_its_gauges_do_not(
    start_server: Callable[..., Any], tmp_path: Path, eventually: Eventually
) -> None:
    server = start_server("extra_app:app", **extra_app(tmp_path), DATABASE_POOL_SIZE="3", APP_REVISION="0a1b2c3d")
    eventually(lambda: value(server, "app_workers", "app_workers") == 2)
    labels = {"handler": "/links/{slug}", "status": "404", "service": "links", "release": "r1"}

    def counted() -> tuple[float, float, float]:
        return (
            value(server, "http_requests", "http_requests_total", **labels),
            value(server, "http_request_duration_seconds", "http_request_duration_seconds_count", **labels),
            value(server, "db_statement_duration_seconds", "db_statement_duration_seconds_count", table="links"),
        )

    def in_flight() -> float:
        return value(server, "http_requests_in_flight", "http_requests_in_flight")

    # Each request is a connection of its own and so any worker's: together they have all of them.
    answered_by = {int(server.get("/bench/who").text) for _ in range(60)}
    assert answered_by == set(server.worker_pids())
    for _ in range(40):
        server.get("/links/unknown")
    # A caller has the answer a moment before it is counted.
    eventually(lambda: counted() == (40, 40, 40))
    assert (exits(server), in_flight()) == ({}, 0)
    files = value(server, "app_multiprocess_files", "app_multiprocess_files")
    memory = value(server, "app_resident_memory_bytes", "app_resident_memory_bytes")

    # Killed in the middle of a request, so that its gauges have something to leave behind.
    victim, thread = hang(server)
    eventually(lambda: in_flight() == 1)
    os.kill(victim, signal.SIGKILL)
    thread.join()
    eventually(lambda: len(set(server.worker_pids()) - {victim}) == 2)
    eventually(lambda: value(server, "app_workers", "app_workers") == 2)

    assert counted() == (40, 40, 40)
    assert exits(server) == {"signal": 1}
    assert in_flight() == 0
    assert value(server, "db_pool_capacity", "db_pool_capacity") == 2 * 3
    eventually(lambda: 0 < value(server, "app_resident_memory_bytes", "app_resident_memory_bytes") < memory * 1.4)
    for _ in range(10):
        server.get("/links/unknown")
    eventually(lambda: counted() == (50, 50, 50))
    # What the dead leave and every scrape reads: an alert looks at how it grows.
    assert files < value(server, "app_multiprocess_files", "app_multiprocess_files") <= files + 2
    assert value(server, "app_multiprocess_bytes", "app_multiprocess_bytes") > 0
    assert value(server, "app_info", "app_info", revision="0a1b2c3d") == 1


def test_a_worker_that_is_asked_to_end_is_recycled(
    start_server: Callable[..., Any], tmp_path: Path, eventually: Eventually
) -> None:
    server = start_server("extra_app:app", **extra_app(tmp_path))
    eventually(lambda: len(server.worker_pids()) == 2)
    for signal_number, reason in ((signal.SIGTERM, "recycled"), (signal.SIGSEGV, "signal")):
        pid = server.worker_pids()[0]
        os.kill(pid, signal_number)
        eventually(lambda pid=pid: len(set(server.worker_pids()) - {pid}) == 2)
        eventually(lambda reason=reason: exits(server).get(reason) == 1)
    # An exception that ends the process, rather than one that is answered with a 500.
    server.get("/bench/exit")
    eventually(lambda: exits(server) == {"recycled": 1, "signal": 1, "error": 1})


def test_a_worker_that_stands_still_is_killed_and_counted(
    start_server: Callable[..., Any], eventually: Eventually
) -> None:
    server = start_server(GUNICORN_CMD_ARGS="--timeout 1")
    eventually(lambda: len(server.worker_pids()) == 2)
    stopped = server.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    eventually(lambda: stopped not in server.worker_pids())
    eventually(lambda: exits(server).get("timeout", 0) >= 1)
    assert "signal" not in exits(server)


def read_configuration(home: Path, program: str = "read()", **env: str) -> str:
    """As Gunicorn does, in a process of its own; what `program` says, where read() reads it."""
    preface = f"import resource, runpy\ndef read(): runpy.run_path({str(ROOT / 'app/gunicorn.conf.py')!r})\n"
    ended = subprocess.run(
        [sys.executable, "-c", preface + program],
        cwd=home,
        env={"PYTHONPATH": str(ROOT), "TMPDIR": str(home), **env},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return ended.stdout


def test_a_server_opens_as_many_files_as_the_machine_allows(tmp_path: Path) -> None:
    program = (
        "files = resource.RLIMIT_NOFILE; most = resource.getrlimit(files)[1]\n"
        "resource.setrlimit(files, (100, most)); read(); print(resource.getrlimit(files) == (most, most))"
    )
    assert read_configuration(tmp_path, program) == "True\n"


@pytest.mark.parametrize(("directory", "left"), [("", {"counter_1.db", "links.db"}), (".", {"links.db"})])
def test_a_start_wipes_old_metrics_and_no_database(tmp_path: Path, directory: str, left: set[str]) -> None:
    old = {"links.db", "counter_1.db"}
    for name in old:
        (tmp_path / name).touch()
    read_configuration(tmp_path, PROMETHEUS_MULTIPROC_DIR=directory)
    assert {name for name in old if (tmp_path / name).exists()} == left


def test_a_reload_forgets_nothing(start_server: Callable[..., Any], eventually: Eventually) -> None:
    server = start_server()
    for _ in range(5):
        server.get("/links/unknown")
    before = set(server.worker_pids())
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: not before & set(server.worker_pids()) and answers(server))
    eventually(lambda: exits(server) == {"recycled": 2})
    assert value(server, "http_requests", "http_requests_total", handler="/links/{slug}") == 5


def answers(server: Any) -> bool:
    try:
        return bool(server.get("/readiness").status_code == 200)
    except httpx.TransportError:
        return False


def extra_app(home: Path) -> dict[str, str]:
    (home / "extra_app.py").write_text(EXTRA_APP)
    return {"PYTHONPATH": f"{ROOT}:{home}"}


def hang(server: Any) -> tuple[int, threading.Thread]:
    """A request that doesn't end, and the worker that has it."""
    mark = server.stdout.parent / "hanging"

    def send() -> None:
        with suppress(httpx.TransportError):
            httpx.get(f"{server.url}/bench/hang", params={"mark": str(mark)}, timeout=30)

    thread = threading.Thread(target=send)
    thread.start()
    return worker_at(mark), thread


def worker_at(mark: Path) -> int:
    """The worker that a request has arrived at, which leaves `mark` there."""
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(mark.read_text())


def test_metrics_agree_whichever_worker_answers(server: Any, eventually: Eventually) -> None:
    server.get("/links")
    eventually(lambda: value(server, "http_requests", "http_requests_total", handler="/links") > 0)
    # One scrape is one connection and so any worker's; all see the same files.
    answers = {value(server, "http_requests", "http_requests_total", handler="/links") for _ in range(8)}
    assert len(answers) == 1


def test_hits_are_not_lost_between_workers(server: Any) -> None:
    httpx.post(server.url + "/links", json={"url": "https://example.com", "slug": "counted"})
    threads = [threading.Thread(target=server.get, args=("/counted",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.get("/links/counted").json()["hits"] == 20


def test_stdout_holds_json_only_and_one_access_line_per_request(server: Any, eventually: Eventually) -> None:
    answer = server.get("/links?limit=1", headers={"x-request-id": "from-the-proxy-1"})
    assert answer.headers["x-request-id"] == "from-the-proxy-1"
    server.get("/health")
    # A caller has the answer a moment before its line is written.
    eventually(lambda: '"request_id":"from-the-proxy-1"' in server.stdout.read_text())
    lines = server.lines()
    assert [line["http.route"] for line in lines if line.get("request_id") == "from-the-proxy-1"] == ["/links"]
    assert not [line for line in lines if line.get("url.path") == "/health"]
    assert {"gunicorn.error", "uvicorn.error", "access"} <= {line["logger"] for line in lines}
    assert all(line["service"] == "links" and line["release"] == "r1" for line in lines)
    assert server.stderr.read_text() == ""


@pytest.mark.parametrize(("believed", "address"), [("10.0.0.0/8,127.0.0.1", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1")])
def test_a_caller_s_address_is_what_a_known_proxy_says(
    start_server: Callable[..., Any], eventually: Eventually, believed: str, address: str
) -> None:
    server = start_server(FORWARDED_ALLOW_IPS=believed, WEB_CONCURRENCY="1")
    server.get("/links", headers={"x-forwarded-for": "192.0.2.7"})
    eventually(lambda: f'"client.address":"{address}"' in server.stdout.read_text())


def test_sigterm_ends_it_cleanly_without_an_error_line(server: Any) -> None:
    before = len(server.lines())
    assert server.stop() == 0
    assert [line for line in server.lines()[before:] if line["level"] in ("warning", "error", "critical")] == []


def test_readiness_says_draining_while_the_listener_stays_open(
    start_server: Callable[..., Any], eventually: Eventually
) -> None:
    server = start_server(DRAIN_DELAY="5", WEB_CONCURRENCY="1")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.get("/readiness").status_code == 503)
    assert server.get("/readiness").json()["phase"] == "draining"
    assert server.get("/links").status_code == 200
    assert server.process.wait(30) == 0


@pytest.fixture
def slow(start_server: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "slow_app.py").write_text(SLOW_APP)

    def start(**env: str) -> Any:
        path = f"{ROOT}:{tmp_path}"
        return start_server(
            "slow_app:app",
            ready_path="/",
            PYTHONPATH=path,
            WEB_CONCURRENCY="1",
            SHUTDOWN_MARK=str(tmp_path / "shutdown"),
            **env,
        )

    return start


def send_slow_request(server: Any, seconds: float) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def send() -> None:
        try:
            outcome.append(server.get(f"/slow/{seconds}").text)
        except httpx.TransportError as error:
            outcome.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    worker_at(server.stdout.parent / "slow")
    return thread, outcome


def test_a_request_in_flight_is_finished_after_sigterm(slow: Callable[..., Any], tmp_path: Path) -> None:
    server = slow()
    thread, outcome = send_slow_request(server, 1.5)
    assert server.stop() == 0
    thread.join()
    assert outcome == ["done"]
    assert (tmp_path / "shutdown").exists()


def test_a_request_that_never_ends_does_not_keep_the_lifespan_from_shutting_down(
    slow: Callable[..., Any], tmp_path: Path
) -> None:
    server = slow(GRACE_PERIOD="3")
    thread, outcome = send_slow_request(server, 60)
    assert server.stop() == 0
    thread.join()
    assert outcome != ["done"]
    assert (tmp_path / "shutdown").exists()


def test_a_request_that_is_cut_off_at_the_database_is_answered_and_logged(
    start_server: Callable[..., Any], eventually: Eventually
) -> None:
    """A locked file keeps a statement, and with it the tidying up, longer than the process lives."""
    server = start_server(GRACE_PERIOD="3.5", WEB_CONCURRENCY="1", DATABASE_TIMEOUT="60")
    httpx.post(server.url + "/links", json={"url": "https://example.com", "slug": "counted"})
    answers: list[httpx.Response] = []
    with closing(sqlite3.connect(server.stdout.parent / "links.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=lambda: answers.append(server.get("/counted")))
        thread.start()
        eventually(lambda: value(server, "http_requests_in_flight", "http_requests_in_flight") == 1)
        server.stop()
        thread.join()
    (answer,) = answers
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem:cut-off")
    (line,) = (line for line in server.lines() if line.get("url.path") == "/counted")
    assert (line["http.response.status_code"], line["request_id"]) == (503, answer.json()["request_id"])
    assert not [line for line in server.lines() if "exception.type" in line]


def test_an_application_that_cannot_be_imported_ends_the_server(start_server: Callable[..., Any]) -> None:
    server = start_server("app.no_such_module:app", ready_path="")
    assert server.process.wait(60) != 0
