"""Who is told of alerts, in place of Slack and PagerDuty: an HTTP server that keeps what it gets."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
# A sender has given up long before.
ANSWER_SECONDS = 60


class Inbox:
    """Listens at `host` from the beginning. `came` has the path, the body and the time (monotonic) of each message.

    While `answers` is cleared, senders wait for their answer.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.came: list[tuple[str, Json, float]] = []
        self.answers = threading.Event()
        self.answers.set()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                inbox.came.append((self.path, body, time.monotonic()))
                inbox.answers.wait(ANSWER_SECONDS)
                # PagerDuty's events API says 202, Slack "ok".
                self.send_response(202 if self.path == "/pagerduty" else 200)
                # Who told may have been killed meanwhile.
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.address = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def at(self, path: str, since: float = 0) -> list[Json]:
        return [body for where, body, when in self.came if where == path and when >= since]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
