"""Puts the service together: `create_app()` is all that a server or a test needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app.access import AccessMiddleware, CutOff, cut_off
from app.access_log import AccessLog
from app.body_limit import BodyLimitMiddleware
from app.database import Database
from app.database_metrics import observe_statements
from app.drain import drain_on_sigterm
from app.links.routes import router as links_router
from app.links.store import LinkStore
from app.local_schema import prepare_local_schema
from app.metrics import Metrics
from app.probes import probe_routes
from app.problems import install_problem_handlers
from app.process_metrics import ProcessMetrics
from app.readiness import Readiness, database_checks
from app.request_metrics import RequestMetrics
from app.route_names import RouteNames
from app.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """One application with its own pool, metrics and readiness; several can live in one process."""
    identity = {"service": settings.service, "env": settings.env, "release": settings.release}
    database = Database.of_service(settings)
    # Asks on a connection of its own: a pool that is busy is no database that is down, and taking busy
    # replicas out of service would only make the others busier.
    probed_database = Database.of_service(settings, pool_size=1)
    readiness = Readiness(database_checks(probed_database, timeout=settings.readiness_timeout))
    metrics = Metrics(labels=identity, revision=settings.revision)
    observe_statements(database, metrics.registry)
    process_metrics = ProcessMetrics(metrics.registry, database)
    in_flight: set[CutOff] = set()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await prepare_local_schema(settings)
        async with process_metrics.sampled():
            with drain_on_sigterm(readiness, delay=settings.drain_delay):
                readiness.serve()
                yield
                readiness.drain()
                await cut_off(in_flight)
        await asyncio.gather(database.close(), probed_database.close())

    app = FastAPI(
        title="Links",
        description="Short links that count how often they are followed.",
        version=settings.release,
        lifespan=lifespan,
        redoc_url=None,
        # A slash too many is another path, not a redirect to guess at.
        redirect_slashes=False,
    )
    app.state.links = LinkStore(database)
    app.state.readiness = readiness
    # First, so that no slug can hide them.
    app.router.routes.extend(probe_routes(readiness, metrics, identity=identity))
    app.include_router(links_router)
    install_problem_handlers(app)
    app.add_middleware(BodyLimitMiddleware)
    # Added last, and so outermost: it sees what every other layer answered.
    app.add_middleware(
        AccessMiddleware,
        names=RouteNames(app.router.routes),
        metrics=RequestMetrics(metrics.registry),
        log=AccessLog(identity=identity, level=settings.log_level),
        in_flight=in_flight,
    )
    return app
