"""The service against a real PostgreSQL: what SQLite can't show."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from app import worker
from app.database import Database, DatabaseUnavailableError
from app.main import create_app
from app.migrate import ADVISORY_LOCK, migrate
from app.schema_version import REQUIRED_REVISION
from app.settings import Settings


def settings_for(url: str, *, readiness_timeout: float = 5, **overrides: Any) -> Settings:
    return Settings(
        DATABASE_URL=url, APP_ENV="lab", READINESS_TIMEOUT=readiness_timeout, DATABASE_TIMEOUT=5, **overrides
    )


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://links.test"
        ) as client,
    ):
        client.app = app  # type: ignore[attr-defined]
        yield client


@pytest.fixture
async def client(postgres_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(postgres_url)
    await migrate(settings)
    async with started(settings) as connected:
        yield connected


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


class Wire:
    """A TCP connection to the database that can be cut, or go silent, and be mended again."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._streams: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self.flowing = asyncio.Event()
        self.flowing.set()

    @property
    def url(self) -> str:
        credentials = self._parts.netloc.rpartition("@")[0]
        netloc = f"{credentials}@" if credentials else ""
        return self._parts._replace(netloc=f"{netloc}127.0.0.1:{self._port}").geturl()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server
        self._server.close()
        for stream in self._streams:
            stream.transport.abort()
        self._streams.clear()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)
        self._streams += [writer, there[1]]
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self.flowing.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


@pytest.fixture
async def wire(postgres_url: str) -> AsyncIterator[Wire]:
    wire = Wire(postgres_url)
    await wire.mend()
    yield wire
    wire.flowing.set()
    await wire.cut()


async def test_migrating_twice_is_migrating_once(postgres_url: str, sql: asyncpg.Connection) -> None:
    await migrate(settings_for(postgres_url))
    await migrate(settings_for(postgres_url))
    assert await sql.fetchval("SELECT version_num FROM alembic_version") == REQUIRED_REVISION


async def test_what_a_database_url_says_after_the_question_mark_is_heeded(postgres_url: str) -> None:
    settings = settings_for(f"{postgres_url}?sslmode=prefer&connect_timeout=10&lock_timeout=1234&application_name=mine")
    await migrate(settings)
    database = Database(settings.database, pool_size=1, timeout=5, statement_timeout=5, application_name="links")
    async with database.engine.connect() as connection:
        names = ("lock_timeout", "application_name")
        shown = [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names]
    await database.engine.dispose()
    assert shown == ["1234ms", "links"], "who is connected is this service's own to say"
    with pytest.raises(DatabaseUnavailableError):  # it has no TLS
        await migrate(settings_for(f"{postgres_url}?sslmode=require"))


async def test_several_migrations_at_once_all_succeed(postgres_url: str, sql: asyncpg.Connection) -> None:
    await asyncio.gather(*(migrate(settings_for(postgres_url)) for _ in range(4)))
    assert await sql.fetch("SELECT version_num FROM alembic_version") == [(REQUIRED_REVISION,)]
    assert await sql.fetchval("SELECT count(*) FROM schema_support") == 1


async def test_a_migration_does_not_wait_for_ever_for_another_one(postgres_url: str, sql: asyncpg.Connection) -> None:
    await sql.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    with pytest.raises(DatabaseUnavailableError, match="MIGRATION_WAIT"):
        await migrate(settings_for(postgres_url, MIGRATION_WAIT=0.2))
    await sql.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
    await migrate(settings_for(postgres_url))


async def test_a_migration_that_fails_leaves_nothing_behind(postgres_url: str, sql: asyncpg.Connection) -> None:
    # In the way of the last statement of the first migration.
    await sql.execute("CREATE TABLE schema_support (unrelated text)")
    with pytest.raises(Exception, match="already exists"):
        await migrate(settings_for(postgres_url))
    assert await sql.fetchval("SELECT to_regclass('links')") is None
    await sql.execute("DROP TABLE schema_support")
    await migrate(settings_for(postgres_url))


async def test_a_service_on_an_empty_database_is_alive_but_not_ready(postgres_url: str) -> None:
    async with started(settings_for(postgres_url)) as client:
        assert (await client.get("/health")).status_code == 200
        answer = await client.get("/readiness")
    assert answer.status_code == 503
    assert "run the migrations" in answer.json()["checks"]["database"]["detail"]


async def test_the_previous_release_stays_ready_on_a_newer_schema(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE alembic_version SET version_num = '9999'")
    assert (await client.get("/readiness")).status_code == 200
    assert (await client.post("/links", json={"url": "https://example.com"})).status_code == 201


async def test_the_previous_release_may_run_its_migrations_on_a_newer_schema(
    client: httpx.AsyncClient, postgres_url: str, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE alembic_version SET version_num = '9999'")
    await migrate(settings_for(postgres_url))
    assert await sql.fetchval("SELECT version_num FROM alembic_version") == "9999"


async def test_one_of_many_who_want_the_same_slug_at_once_gets_it(client: httpx.AsyncClient) -> None:
    wanted = {"url": "https://example.com", "slug": "wanted"}
    answers = await asyncio.gather(*(client.post("/links", json=wanted) for _ in range(30)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 29}


async def test_no_hit_is_lost_when_two_processes_count(client: httpx.AsyncClient, postgres_url: str) -> None:
    await client.post("/links", json={"url": "https://example.com", "slug": "busy"})
    async with started(settings_for(postgres_url)) as other:
        answers = []
        # Not all at once: the last ones would wait for the database longer than a request may.
        for _ in range(5):
            answers += await asyncio.gather(*(side.get("/busy") for _ in range(20) for side in (client, other)))
    assert Counter(answer.status_code for answer in answers) == {307: 200}
    assert (await client.get("/links/busy")).json()["hits"] == 200


async def test_times_keep_their_zone(client: httpx.AsyncClient) -> None:
    created = (
        await client.post("/links", json={"url": "https://example.com", "expires_at": "2999-01-01T02:00:00+02:00"})
    ).json()
    assert created["expires_at"] == "2999-01-01T00:00:00Z"
    assert abs(datetime.fromisoformat(created["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_worker_deletes_what_has_expired(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for slug in ("over", "stays"):
        await client.post("/links", json={"url": "https://example.com", "slug": slug})
    await sql.execute("UPDATE links SET expires_at = now() - interval '1 second' WHERE slug = 'over'")
    links = client.app.state.links  # type: ignore[attr-defined]
    assert await worker.sweep(links, now=lambda: datetime.now(UTC), stopping=asyncio.Event()) == 1
    assert [link["slug"] for link in (await client.get("/links")).json()["items"]] == ["stays"]


async def ready_status_becomes(client: httpx.AsyncClient, status: int) -> httpx.Response:
    async with asyncio.timeout(30):
        while (answer := await client.get("/readiness")).status_code != status:
            await asyncio.sleep(0.05)
    return answer


async def test_a_database_that_goes_away_is_seen_and_forgiven(wire: Wire) -> None:
    settings = settings_for(wire.url)
    await migrate(settings)
    async with started(settings) as client:
        assert (await client.get("/readiness")).status_code == 200

        await wire.cut()
        lost = await ready_status_becomes(client, 503)
        assert lost.json()["checks"]["database"]["status"] == "failed"
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/links")).status_code == 503

        await wire.mend()
        await ready_status_becomes(client, 200)
        # Not one error because of connections that died meanwhile.
        answers = [await client.get("/links") for _ in range(10)]
        assert {answer.status_code for answer in answers} == {200}


async def test_a_database_that_goes_silent_does_not_keep_the_probe_waiting(wire: Wire) -> None:
    settings = settings_for(wire.url, readiness_timeout=0.5)
    await migrate(settings)
    async with started(settings) as client:
        await ready_status_becomes(client, 200)
        wire.flowing.clear()
        await asyncio.sleep(1.1)
        async with asyncio.timeout(5):
            answer = await client.get("/readiness")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"]["detail"] == "no answer within 0.5 s"
        wire.flowing.set()
        await ready_status_becomes(client, 200)


async def test_a_busy_pool_is_no_reason_to_be_taken_out_of_service(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await client.post("/links", json={"url": "https://example.com", "slug": "held"})
    async with sql.transaction():
        await sql.execute("SELECT 1 FROM links WHERE slug = 'held' FOR UPDATE")
        waiting = [asyncio.create_task(client.get("/held")) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert (await client.get("/readiness")).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {307}


async def test_a_restarted_database_costs_no_request(
    client: httpx.AsyncClient, postgres_url: str, sql: asyncpg.Connection
) -> None:
    await asyncio.gather(*(client.get("/links") for _ in range(5)))
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    answers = await asyncio.gather(*(client.get("/links") for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {200: 10}
