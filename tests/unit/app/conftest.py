"""The service as tests meet it: in this process over ASGI, or as real processes under Gunicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from app.logs import configure_logging
from app.main import create_app
from app.migrate import migrate
from app.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(APP_SERVICE="links", APP_ENV="test", APP_RELEASE="r1", DATA_DIR=tmp_path, DATABASE_URL=None)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, made once and copied for every test."""
    home = tmp_path_factory.mktemp("migrated")
    asyncio.run(migrate(Settings(DATA_DIR=home, DATABASE_URL=None)))
    return home / "links.db"


@pytest.fixture
async def app(settings: Settings, migrated_file: Path, tmp_path: Path) -> AsyncIterator[Any]:
    """A started application; its tables are in a file of its own."""
    shutil.copy(migrated_file, tmp_path / "links.db")
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://links.test") as connected:
        yield connected


@pytest.fixture
def log_lines(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was written to stdout so far, each line parsed."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging(service="links", env="test", release="r1", level="DEBUG")
    # The tests' own client.
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    yield read
    logger.remove()
    root.handlers[:], root.level = before


@dataclass
class Server:
    """A Gunicorn with this service's configuration, as the image starts it."""

    process: subprocess.Popen[bytes]
    port: int
    stdout: Path
    stderr: Path
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.url + path, **options)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.read_text().splitlines()]

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start as many as needed; all are gone when the module's tests are over."""
    started: list[Server] = []
    # Each request on a connection of its own: it may meet any worker.
    client = httpx.Client(timeout=10, limits=httpx.Limits(max_keepalive_connections=0))

    def start(app: str = "app.asgi:app", *, ready_path: str = "/readiness", **env: str) -> Server:
        home = tmp_path_factory.mktemp("server")
        port = free_port()
        out, err = home / "stdout", home / "stderr"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{home}",
            "PORT": str(port),
            "DATA_DIR": str(home),
            "TMPDIR": str(home),
            "WEB_CONCURRENCY": "2",
            "APP_RELEASE": "r1",
            **env,
        }
        command = [sys.executable, "-m", "app.web", "-c", "app/gunicorn.conf.py", app]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stdout, stderr=stderr, start_new_session=True
            )
        server = Server(process, port, out, err, client)
        started.append(server)
        if ready_path:
            eventually(lambda: process.poll() is not None or answers(server, ready_path))
            assert process.poll() is None, out.read_text() + err.read_text()
        return server

    yield start
    for server in started:
        # Its workers with it: they would outlive an arbiter that is killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    client.close()


def answers(server: Server, path: str) -> bool:
    try:
        return server.get(path).status_code == 200
    except httpx.TransportError:
        return False


def eventually(condition: Callable[[], bool], *, within: float = 60.0) -> None:
    """Wait for something that takes a moment; fail when it takes too long."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., None]:
    return eventually
