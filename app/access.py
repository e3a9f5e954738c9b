"""The outermost layer: gives each request its ids, its place in metrics and log, and an answer even when it crashes."""

from __future__ import annotations

import asyncio
import time

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access_log import AccessLog
from app.probes import PATHS as PROBES
from app.problems import CUT_OFF, UNEXPECTED
from app.request_context import REQUEST_ID_HEADER, RequestContext, current_request
from app.request_metrics import RequestMetrics
from app.route_names import RouteNames


class AccessMiddleware:
    """Pure ASGI: it adds no task, no queue and no copy of the body to a request.

    One layer for ids, metrics and log, since each needs what the others know: docs/decisions/0005.
    """

    def __init__(self, app: ASGIApp, *, names: RouteNames, metrics: RequestMetrics, log: AccessLog) -> None:
        self._app = app
        self._names = names
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        context = RequestContext.from_headers(scope["headers"])
        # Not reset afterwards: the server runs each request in a context of its own, and
        # may still log about it.
        current_request.set(context)
        root_path: str = scope.get("root_path", "")
        probe = scope["path"].removeprefix(root_path) in PROBES
        if not probe:
            self._metrics.begin()
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
            if not probe:
                seconds = time.perf_counter() - started
                route = self._names.of(scope, root_path=root_path)
                # The server answers 500 for an application that doesn't.
                self._metrics.end(scope["method"], route, status or 500, seconds)
                self._log.write(scope, context, route=route, status=status, seconds=seconds)
