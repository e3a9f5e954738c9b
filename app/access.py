"""The outermost layer: gives each request its ids, its place in metrics and log, and an answer even when it crashes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access_log import AccessLog
from app.probes import PATHS as PROBES
from app.problems import CUT_OFF, UNEXPECTED
from app.request_context import REQUEST_ID_HEADER, RequestContext, current_request
from app.request_metrics import RequestMetrics
from app.route_names import RouteNames

CutOff = Callable[[], Coroutine[object, object, None]]


async def cut_off(in_flight: set[CutOff]) -> None:
    """Answer the requests that the server, which is about to end, no longer waits for.

    It has cancelled them, but that may take until a driver has tidied up its connection: two seconds where PostgreSQL
    doesn't answer, and the process is gone before.
    """
    await asyncio.gather(*(cut() for cut in in_flight))


class AccessMiddleware:
    """Pure ASGI: it adds no task, no queue and no copy of the body to a request.

    One layer for ids, metrics and log, since each needs what the others know: docs/decisions/0005.
    """

    def __init__(
        self, app: ASGIApp, *, names: RouteNames, metrics: RequestMetrics, log: AccessLog, in_flight: set[CutOff]
    ) -> None:
        """`in_flight` holds, for `cut_off`, what answers each request that has no whole answer yet."""
        self._app = app
        self._in_flight = in_flight
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
        over = False

        async def answer(message: Message) -> None:
            nonlocal status
            if over:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                echo = (REQUEST_ID_HEADER, context.request_id.encode("ascii"))
                message = {**message, "headers": [*message.get("headers", ()), echo]}
            await send(message)

        def end() -> None:
            nonlocal over
            if over:
                return
            over = True
            if not probe:
                seconds = time.perf_counter() - started
                route = self._names.of(scope, root_path=root_path)
                # The server answers 500 for an application that doesn't.
                self._metrics.end(scope["method"], route, status or 500, seconds)
                self._log.write(scope, context, route=route, status=status, seconds=seconds)

        async def cut() -> None:
            # The task may be another one, with no request of its own.
            current_request.set(context)
            if not status:
                await CUT_OFF.response(scope["path"])(scope, receive, answer)
            end()

        self._in_flight.add(cut)
        try:
            await self._app(scope, receive, answer)
        except Exception:
            logger.opt(exception=True).error("unhandled exception in {} {}", scope["method"], scope["path"])
            if status:
                # Too late for another status: the server has to cut the connection.
                raise
            await UNEXPECTED.response(scope["path"])(scope, receive, answer)
        except asyncio.CancelledError:
            # The grace period is over. Not raised: the task ends here, and the server would answer with a plain 500, or
            # write a traceback for each request while the others wait.
            await cut()
        finally:
            self._in_flight.discard(cut)
            end()
