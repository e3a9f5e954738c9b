"""/health, /readiness and /metrics: for machines, and kept out of logs and histograms."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.metrics import CONTENT_TYPE, Metrics
from app.readiness import Readiness

PATHS = frozenset({"/health", "/readiness", "/metrics"})


def probe_routes(readiness: Readiness, metrics: Metrics, *, identity: dict[str, str]) -> list[BaseRoute]:
    """Async all the way: a thread pool full of slow requests never keeps a probe waiting."""
    # Reading the other workers' files takes milliseconds in which the event loop has better things to do.
    renderer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")

    async def health(_request: Request) -> Response:
        """The process answers. Touches no dependency: restarting wouldn't mend those."""
        return _json(200, {"status": "alive", **identity})

    async def ready(_request: Request) -> Response:
        """Whether to send requests here, and if not, because of what."""
        report = await readiness.report()
        body = {
            "status": "ready" if report.ready else "not ready",
            "phase": report.phase,
            "checks": {
                result.name: {
                    "status": "ok" if result.ok else "failed",
                    "critical": result.critical,
                    "seconds": result.seconds,
                    **({"detail": result.detail} if result.detail else {}),
                }
                for result in report.results
            },
            **identity,
        }
        return _json(200 if report.ready else 503, body)

    async def exposition(_request: Request) -> Response:
        """Everything counted so far by all workers, for Prometheus."""
        text = await asyncio.get_running_loop().run_in_executor(renderer, metrics.render)
        return Response(text, media_type=CONTENT_TYPE)

    return [
        Route("/health", health, include_in_schema=False),
        Route("/readiness", ready, include_in_schema=False),
        Route("/metrics", exposition, include_in_schema=False),
    ]


def _json(status: int, body: Mapping[str, object]) -> Response:
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
