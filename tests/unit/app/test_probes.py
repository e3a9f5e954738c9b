"""What machines are told about the service's state."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import httpx
import pytest
from sqlalchemy import text

from app.main import create_app
from app.readiness import Check, Readiness
from app.settings import Settings


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://links.test")


async def set_schema(app: Any, statement: str) -> None:
    async with app.state.links._database.transaction() as connection:
        await connection.execute(text(statement))


async def test_health_needs_no_database() -> None:
    app = create_app(Settings(DATABASE_URL="postgresql://127.0.0.1:1/links"))
    async with client_of(app) as client:
        answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "alive"


async def test_a_started_service_is_ready_and_says_what_it_checked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readiness")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["phase"], body["release"]) == ("ready", "serving", "r1")
    assert body["checks"]["database"]["status"] == "ok"


async def test_a_service_that_has_not_started_is_not_ready(settings: Settings) -> None:
    async with client_of(create_app(settings)) as client:
        answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert answer.json()["phase"] == "starting"


async def test_a_draining_service_is_not_ready_but_healthy(client: httpx.AsyncClient, app: Any) -> None:
    app.state.readiness.drain()
    answer = await client.get("/readiness")
    assert (answer.status_code, answer.json()["phase"]) == (503, "draining")
    assert (await client.get("/health")).status_code == 200


async def test_a_service_whose_database_is_away_is_not_ready() -> None:
    app = create_app(Settings(DATABASE_URL="postgresql://links:hunter2@127.0.0.1:1/links"))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["status"] == "failed"
    assert "hunter2" not in answer.text


async def test_the_previous_release_stays_ready_on_a_newer_schema(client: httpx.AsyncClient, app: Any) -> None:
    await set_schema(app, "UPDATE alembic_version SET version_num = '9999'")
    assert (await client.get("/readiness")).status_code == 200


async def test_a_release_that_the_schema_no_longer_supports_is_not_ready(client: httpx.AsyncClient, app: Any) -> None:
    await set_schema(app, "UPDATE alembic_version SET version_num = '9999'")
    await set_schema(app, "UPDATE schema_support SET revision = '9998'")
    answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert "supports releases from 9998" in answer.json()["checks"]["database"]["detail"]


async def test_a_release_whose_migrations_did_not_run_is_not_ready(client: httpx.AsyncClient, app: Any) -> None:
    await set_schema(app, "UPDATE alembic_version SET version_num = '0000'")
    answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert "run the migrations" in answer.json()["checks"]["database"]["detail"]


class Dependency:
    """Counts how often it is asked, and can be slow or down."""

    def __init__(self, *, delay: float = 0.0, error: Exception | None = None) -> None:
        self.asked = 0
        self.delay = delay
        self.error = error

    async def __call__(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.delay)
        if self.error:
            raise self.error


def serving(*checks: Check, clock: Any = lambda: 0.0) -> Readiness:
    readiness = Readiness(checks, clock=clock)
    readiness.serve()
    return readiness


async def test_many_questions_at_once_ask_the_dependency_once() -> None:
    dependency = Dependency(delay=0.02)
    readiness = serving(Check("database", dependency, timeout=1))
    reports = await asyncio.gather(*(readiness.report() for _ in range(20)))
    assert all(report.ready for report in reports)
    assert dependency.asked == 1


async def test_an_answer_is_a_second_old_at_most() -> None:
    now = 0.0
    dependency = Dependency()
    readiness = serving(Check("database", dependency, timeout=1), clock=lambda: now)
    await readiness.report()
    dependency.error = RuntimeError("down")
    now = 0.9
    assert (await readiness.report()).ready
    now = 1.0
    assert not (await readiness.report()).ready


async def test_a_slow_dependency_costs_its_own_time_out_and_no_more() -> None:
    readiness = serving(Check("slow", Dependency(delay=60), timeout=0.05), Check("quick", Dependency(), timeout=1))
    async with asyncio.timeout(20):
        report = await readiness.report()
    assert [(result.name, result.ok) for result in report.results] == [("slow", False), ("quick", True)]
    assert report.results[0].detail == "no answer within 0.05 s"


async def test_a_dependency_that_is_not_critical_is_reported_only() -> None:
    readiness = serving(Check("extra", Dependency(error=RuntimeError("down")), timeout=1, critical=False))
    report = await readiness.report()
    assert report.ready
    assert not report.results[0].ok


async def test_a_check_that_is_broken_says_why_once_and_not_every_second(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    seconds = itertools.count()
    dependency = Dependency(error=RuntimeError("broken"))
    readiness = serving(Check("database", dependency, timeout=1), clock=lambda: float(next(seconds)))
    for _ in range(5):
        await readiness.report()
    dependency.error = ValueError("otherwise")
    for _ in range(5):
        await readiness.report()
    assert dependency.asked == 10
    said = [line["exception.message"] for line in log_lines() if "exception.stacktrace" in line]
    assert said == ["broken", "otherwise"]


@pytest.mark.parametrize("path", ["/health", "/readiness", "/metrics"])
async def test_probes_are_answered_while_the_thread_pool_is_full(client: httpx.AsyncClient, path: str) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    taken = [object() for _ in range(int(limiter.total_tokens))]
    for borrower in taken:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        async with asyncio.timeout(20):
            assert (await client.get(path)).status_code == 200
    finally:
        for borrower in taken:
            limiter.release_on_behalf_of(borrower)
