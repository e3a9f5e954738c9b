"""The outermost layer: gives each request its ids, one access line, and an answer even when it crashes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.probes import PATHS as PROBES
from app.problems import CUT_OFF, UNEXPECTED
from app.request_context import REQUEST_ID_HEADER, RequestContext, current_request


def _named_access(record: Record) -> None:
    record["name"] = "access"


_log = logger.patch(_named_access)

if TYPE_CHECKING:
    from loguru import Record


class AccessMiddleware:
    """Pure ASGI: it adds no task, no queue and no copy of the body to a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        context = RequestContext.from_headers(scope["headers"])
        # Not reset afterwards: the server runs each request in a context of its own, and
        # may still log about it.
        current_request.set(context)
        started = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                echo = (REQUEST_ID_HEADER, context.request_id.encode("ascii"))
                message = {**message, "headers": [*message.get("headers", ()), echo]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            logger.opt(exception=True).error("unhandled exception in {} {}", scope["method"], scope["path"])
            if status:
                # Too late for another status: the server has to cut the connection.
                raise
            await UNEXPECTED.response(scope["path"])(scope, receive, answer)
        except asyncio.CancelledError:
            # The grace period is over. The server would answer with a plain 500.
            if not status:
                await CUT_OFF.response(scope["path"])(scope, receive, answer)
            raise
        finally:
            if scope["path"] not in PROBES:
                _write_line(scope, status, time.perf_counter() - started)


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    client = scope.get("client")
    fields = {
        # OpenTelemetry's names: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "http.route": route_template(scope),
        # Without the query, which is the callers' and may hold secrets.
        "url.path": scope["path"],
        "http.server.request.duration": round(seconds, 6),
        "client.address": client[0] if client else None,
        "user_agent.original": _header(scope, b"user-agent"),
        "network.protocol.version": scope["http_version"],
    }
    # A server error is a warning here: its cause has an error line of its own.
    level = "WARNING" if status >= 500 or status == 0 else "INFO"
    _log.bind(**fields).log(level, "{} {} {}", scope["method"], scope["path"], status)


def route_template(scope: Scope) -> str | None:
    """`/links/{slug}` rather than one of its thousands of paths; None when no route matched."""
    route = scope.get("route")
    template: str | None = getattr(route, "path", None)
    return template


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value[:256]).decode("latin-1")
    return None
