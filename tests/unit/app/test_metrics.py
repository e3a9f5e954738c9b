"""What Prometheus can count on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Column, Integer, MetaData, Table, delete, join, select, text

from app.database import Database
from app.database_metrics import observe_statements
from app.main import create_app
from app.metrics import Metrics
from app.models import Base, Link
from app.settings import Settings

IDENTITY = {"service": "links", "env": "test", "release": "r1"}


async def scrape(client: httpx.AsyncClient) -> dict[str, Metric]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def requests_by(metrics: dict[str, Metric], *labels: str) -> dict[tuple[str, ...], float]:
    counted: dict[tuple[str, ...], float] = {}
    for sample in metrics["http_requests"].samples:
        if sample.name == "http_requests_total" and sample.value:
            key = tuple(sample.labels[label] for label in labels)
            counted[key] = counted.get(key, 0) + sample.value
    return counted


def statements_by(metrics: dict[str, Metric], *labels: str) -> dict[tuple[str, ...], float]:
    counted: dict[tuple[str, ...], float] = {}
    for sample in metrics["db_statement_duration_seconds"].samples:
        if sample.name.endswith("_count"):
            key = tuple(sample.labels[label] for label in labels)
            counted[key] = counted.get(key, 0) + sample.value
    return counted


async def test_requests_are_counted_by_route_and_exact_status(client: httpx.AsyncClient) -> None:
    await client.post("/links", json={"url": "https://example.com", "slug": "one"})
    for path in ("/one", "/one", "/unknown", "/links/one", "/no/such/path"):
        await client.get(path)
    assert requests_by(await scrape(client), "method", "handler", "status") == {
        ("POST", "/links", "201"): 1,
        ("GET", "/{slug}", "307"): 2,
        ("GET", "/{slug}", "404"): 1,
        ("GET", "/links/{slug}", "200"): 1,
        ("GET", "none", "404"): 1,
    }


async def test_every_series_tells_service_env_and_release(client: httpx.AsyncClient) -> None:
    await client.get("/links")
    samples = [sample for family in (await scrape(client)).values() for sample in family.samples]
    assert samples
    for sample in samples:
        assert sample.labels.items() >= IDENTITY.items()


async def test_the_latency_histogram_has_the_thresholds_of_alerts_as_buckets(
    client: httpx.AsyncClient,
) -> None:
    await client.get("/links")
    buckets = {
        sample.labels["le"]
        for sample in (await scrape(client))["http_request_duration_seconds"].samples
        if sample.labels.get("handler") == "/links" and "le" in sample.labels
    }
    assert {"0.1", "0.25", "0.5", "1.0"} <= buckets
    assert len(buckets) > 10


async def test_probes_are_not_counted(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/readiness", "/metrics", "/health"):
        await client.get(path)
    metrics = await scrape(client)
    assert requests_by(metrics, "handler") == {}
    assert metrics["http_requests_in_flight"].samples[0].value == 0


async def test_probes_behind_a_prefix_are_not_counted(app: Any) -> None:
    transport = httpx.ASGITransport(app, root_path="/behind")
    async with httpx.AsyncClient(transport=transport, base_url="http://links.test/behind") as client:
        for path in ("/health", "/readiness"):
            assert (await client.get(path)).status_code == 200
        assert requests_by(await scrape(client), "handler") == {}


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
async def test_no_known_route_is_counted_as_none(settings: Settings, root_path: str) -> None:
    app = create_app(settings)
    app.root_path = root_path
    mounted = FastAPI()
    mounted.add_api_route("/items/{item}", lambda item: item)
    app.mount("/mounted/below", mounted)
    paths = {path.replace("{slug}", "abc"): methods.keys() for path, methods in app.openapi()["paths"].items()} | {
        "/docs": ["get"],
        "/openapi.json": ["get"],
        "/mounted/below/items/1": ["get"],
    }
    # Mounts come after /{slug}, as they would in a service that grows.
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, root_path=root_path), base_url="http://links.test"
        ) as client,
    ):
        for path, methods in paths.items():
            for method in (*methods, "PATCH"):
                await client.request(method, root_path + path)
        counted = requests_by(await scrape(client), "handler")
    assert ("none",) not in counted
    assert {("/links",), ("/links/{slug}",), ("/{slug}",), ("/mounted/below/items/{item}",)} <= counted.keys()


async def test_a_crash_is_counted_as_a_500(client: httpx.AsyncClient, app: Any) -> None:
    app.state.links = None
    await client.get("/links")
    assert requests_by(await scrape(client), "handler", "status") == {("/links", "500"): 1}


async def test_two_applications_in_one_process_count_for_themselves(settings: Settings) -> None:
    create_app(settings)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://links.test") as client,
    ):
        await client.get("/links")
        assert requests_by(await scrape(client), "handler") == {("/links",): 1}


async def test_the_counter_and_the_histogram_agree(client: httpx.AsyncClient) -> None:
    for path in ("/links", "/links", "/links/unknown", "/no/such/path"):
        await client.get(path)
    metrics = await scrape(client)
    labels = ("method", "handler", "status")
    timed = {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in metrics["http_request_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert timed == requests_by(metrics, *labels)
    assert sum(timed.values()) == 4


async def test_the_first_failures_of_a_route_are_a_rise_from_zero(client: httpx.AsyncClient) -> None:
    await client.get("/links")
    totals = (await scrape(client))["http_requests"].samples
    values = {sample.labels["status"]: sample.value for sample in totals if sample.labels["handler"] == "/links"}
    assert values == {"200": 1, "500": 0, "503": 0}


async def test_methods_that_nobody_heard_of_share_a_label(client: httpx.AsyncClient) -> None:
    for method in ("PROPFIND", "MADEUP1", "MADEUP2"):
        await client.request(method, "/links")
    assert requests_by(await scrape(client), "method", "status") == {("other", "405"): 3}


async def test_paths_that_are_no_route_never_become_labels(client: httpx.AsyncClient, app: Any) -> None:
    mounted = FastAPI()
    mounted.add_api_route("/items", lambda: "items")
    app.mount("/mounted", mounted)
    for number in range(50):
        await client.get(f"/no/such/path/{number}")
        await client.get(f"/mounted/{number}/x")
    assert requests_by(await scrape(client), "handler", "status") == {("none", "404"): 100}


async def test_requests_in_flight_are_counted_while_they_last(client: httpx.AsyncClient, app: Any) -> None:
    async def in_flight() -> float:
        return (await scrape(client))["http_requests_in_flight"].samples[0].value

    seen = []

    async def look() -> None:
        seen.append(await in_flight())

    app.add_api_route("/looks/itself/up", look)
    await client.get("/looks/itself/up")
    assert seen == [1]
    app.state.links = None
    await client.get("/links")
    assert await in_flight() == 0


def test_a_file_that_a_starting_worker_has_not_written_to_yet_is_waited_for(tmp_path: Path) -> None:
    empty = tmp_path / "counter_1.db"
    empty.touch()
    writing = threading.Timer(0.05, lambda: empty.write_bytes(bytes(8)))
    writing.start()
    assert b"app_multiprocess_files" in Metrics(labels=IDENTITY, multiprocess_dir=str(tmp_path)).render()
    writing.join()


async def test_processes_tell_what_the_client_library_cannot(client: httpx.AsyncClient) -> None:
    metrics = await scrape(client)
    assert metrics["app_workers"].samples[0].value == 1
    assert {"app_info", "app_resident_memory_bytes", "app_open_fds", "app_event_loop_lag_seconds"} <= set(metrics)
    assert {"db_pool_connections", "db_pool_capacity"} <= set(metrics)
    assert metrics["app_info"].samples[0].labels["revision"] == "unknown"
    assert metrics["app_multiprocess_files"].samples[0].value == 0


async def test_statements_are_timed_by_kind_and_outcome(client: httpx.AsyncClient, app: Any) -> None:
    for _ in range(2):
        await client.post("/links", json={"url": "https://example.com", "slug": "same"})
    await client.get("/same")
    async with app.state.links._database.transaction() as connection:
        await connection.execute(text("CREATE UNIQUE INDEX one_link_per_url ON links (url)"))
    await client.post("/links", json={"url": "https://example.com", "slug": "other"})
    assert statements_by(await scrape(client), "operation", "table", "outcome") == {
        # A slug that is taken is the caller's affair.
        ("insert", "links", "ok"): 2,
        ("insert", "links", "error"): 1,
        ("update", "links", "ok"): 1,
        ("other", "other", "ok"): 1,
    }


async def test_families_of_statements_are_bounded_whatever_the_statement(settings: Settings) -> None:
    registry = CollectorRegistry()
    database = Database.of_service(settings)
    observe_statements(database, registry)
    elsewhere = Table("elsewhere", MetaData(), Column("id", Integer))
    joined = select(Link.id).select_from(join(Link, elsewhere, Link.id == elsewhere.c.id))
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(text("CREATE TABLE elsewhere (id INTEGER)"))
        await connection.execute(text("SELECT 1"))
        await connection.exec_driver_sql("SELECT 2")
        for statement in (select(elsewhere), joined, delete(Link).where(Link.id.in_(select(elsewhere.c.id)))):
            await connection.execute(statement)
        await connection.execute(select(select(Link.id).subquery()))
    await database.close()
    metrics = {family.name: family for family in registry.collect()}
    counted = statements_by(metrics, "operation", "table")
    # Creating the tables, in as many statements as SQLAlchemy likes.
    assert counted.pop(("other", "other")) > 1
    assert counted == {
        ("select", "other"): 3,
        ("select", "links"): 2,
        ("delete", "links"): 1,
    }
