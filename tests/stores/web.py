"""A web server for tests: plain, over TLS, or as the proxy that all of the internet is behind."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body.decode()))

    @property
    def bearer(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Reply:
    status: int
    data: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[Request], Reply]


class Web:
    """Answers on loopback until it is closed. `asked` has every request, and `strangers` hosts it doesn't play.

    `answers` is by host name; one of "" makes it a server of its own, which is what all requests then are for. Without
    one it is a proxy that ends TLS for every host, like those of companies.
    """

    def __init__(self, answers: dict[str, Answer], certificate: tuple[Path, Path] | None = None) -> None:
        self.answers = answers
        self.asked: list[Request] = []
        self.strangers: list[str] = []
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, context))
        self._server.daemon_threads = True
        if context and "" in answers:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(web: Web, context: ssl.SSLContext | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        tunnel = ""

        def do_CONNECT(self) -> None:
            host = self.path.partition(":")[0]
            if host not in web.answers or context is None:
                web.strangers.append(host)
                self.send_error(502)
                return
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.tunnel, self.close_connection = host, False

        def answer(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            host = "" if "" in web.answers else self.tunnel or url.hostname or ""
            request = Request(
                self.command,
                host,
                urllib.parse.unquote(url.path),
                dict(urllib.parse.parse_qsl(url.query)),
                {name.title(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            web.asked.append(request)
            if host not in web.answers:
                web.strangers.append(host)
                reply = Reply(502)
            else:
                reply = web.answers[host](request)
            blob = json.dumps(reply.data).encode() if reply.status != 204 else b""
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(blob)))
            self.end_headers()
            self.wfile.write(blob)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
