"""One line per request, put together by hand: a logging library would cost more than the rest of the line."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from app.logs import rfc3339, write_line
from app.request_context import RequestContext
from app.settings import LogLevel

# Characters: a server takes paths of 64 kB, which would be in every line twice.
MAX_PATH = 2048


class AccessLog:
    """Writes lines like everybody's (app/logs.py) under the logger `access`, from its level on."""

    def __init__(self, *, identity: dict[str, str], level: LogLevel) -> None:
        self._identity = identity
        self._successes = level in ("DEBUG", "INFO")
        self._failures = self._successes or level == "WARNING"

    def write(self, scope: Scope, context: RequestContext, *, route: str | None, status: int, seconds: float) -> None:
        # A server error is a warning here: its cause has an error line of its own.
        failed = status >= 500 or status == 0
        if not (self._failures if failed else self._successes):
            return
        method, path, client = scope["method"], scope["path"][:MAX_PATH], scope.get("client")
        line: dict[str, Any] = {
            "timestamp": rfc3339(datetime.now(UTC)),
            "level": "warning" if failed else "info",
            "message": f"{method} {path} {status}",
            "logger": "access",
            **self._identity,
            **context.fields,
            # OpenTelemetry's names: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
            "http.request.method": method,
            "http.response.status_code": status,
            "http.route": route,
            # Without the query, which is the callers' and may hold secrets.
            "url.path": path,
            "http.server.request.duration": round(seconds, 6),
            "client.address": client[0] if client else None,
            "user_agent.original": _header(scope, b"user-agent"),
            "network.protocol.version": scope["http_version"],
        }
        # A log that nobody reads any more is no reason to fail a request.
        with suppress(OSError):
            write_line(line)


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value[:256]).decode("latin-1")
    return None
