"""A server on loopback that is told, and what tells it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from portside.config import Config, NewsKind, load_config
from portside.notify.event import Event
from portside.notify.tell import notify
from tests.unit import builders

ROOT = Path(__file__).parents[3]
SECRET = "hunter2"
MAIL = 'kind = "email"\nto = "team@example.com"\nfrom = "portside@example.com"\n'
# Long after the deadline of whoever tells.
TOGETHER_SECONDS = 30


class Receiver(ThreadingHTTPServer):
    """A server on loopback that keeps what it gets. `answers` are its next status codes, then 200.

    `together`: it answers when so many ask at the same time.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.came: list[tuple[str, dict[str, str], bytes, float]] = []
        self.answers: list[int] = []
        self.body = b"ok"
        self.together = threading.Barrier(1)
        self.url = f"http://127.0.0.1:{self.server_port}/{SECRET}"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body, _ in self.came]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.came.append((self.path, headers, body, time.monotonic()))
        self.server.together.wait(TOGETHER_SECONDS)
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


def settings(folder: Path, blocks: str) -> Config:
    (folder / "portside.toml").write_text(f'[service]\nname = "links"\n[env.prod]\n[env.staging]\n{blocks}')
    return load_config(folder)


def told_by(folder: Path, block: str) -> Config:
    return settings(folder, f"[notify.team]\n{block}\n")


def happened(kind: NewsKind = "undone", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": f"20261123-154501-a1b2c3-{kind}",
        "kind": kind,
        "operation": "rollback" if kind == "rolled-back" else "deploy",
        "service": "links",
        "env": "prod",
        "release": "20261123-154501-aaaaaa",
        "previous": "20261122-120000-bbbbbb",
        "by": "me@here",
        "commit": "0123456789abcdef",
        "hosts": ("deploy@web-1", "deploy@web-2"),
        "seconds": 12.3,
        "reason": "",
        "link": "",
        "at": builders.NOW,
    }
    return Event(**(values | changes))


def sent(config: Config, event: Event, env: str = "prod") -> list[str]:
    return asyncio.run(notify(config, config.environment(env), event))


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
