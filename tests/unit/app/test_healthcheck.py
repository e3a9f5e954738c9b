"""The container's health check is quick, and right about what it sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
STATUS = {"/health": 200, "/readiness": 503}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(STATUS[self.path])
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def check(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.healthcheck", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_healthy_service_is_healthy(port: int) -> None:
    assert check(PORT=str(port)).returncode == 0


def test_it_says_why_a_service_is_not_ready(port: int) -> None:
    checked = check("/readiness", PORT=str(port))
    assert (checked.returncode, checked.stderr) == (1, "/readiness answered 503\n")


def test_nobody_listening_is_unhealthy() -> None:
    checked = check(PORT="1")
    assert checked.returncode == 1
    assert "ConnectionRefusedError" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_a_worker_without_a_heartbeat_is_unhealthy(tmp_path: Path) -> None:
    assert check("worker", HEARTBEAT_FILE=str(tmp_path / "none")).returncode == 1


def test_the_shipped_worker_is_asked_for_its_heartbeat(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "compose" / "app.yaml").read_text())
    asked = compose["services"]["worker"]["healthcheck"]["test"]
    assert json.dumps(asked[1:4]) in (ROOT / "Dockerfile").read_text()
    beat = tmp_path / "beat"
    beat.touch()
    assert check(*asked[4:], HEARTBEAT_FILE=str(beat)).returncode == 0
    beat.unlink()
    assert check(*asked[4:], HEARTBEAT_FILE=str(beat)).returncode == 1


def test_it_imports_none_of_the_service() -> None:
    code = "import sys; import app.healthcheck; print(*(m.split('.')[0] for m in sys.modules))"
    imported = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"fastapi", "pydantic", "sqlalchemy", "loguru", "http", "email", "asyncio"} & set(imported)
