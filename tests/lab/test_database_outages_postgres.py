"""Ways in which a real PostgreSQL is there and can't be used: each is a 503, and passes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from app.main import create_app
from app.migrate import migrate
from app.settings import Settings


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(DATABASE_URL=url, APP_ENV="lab"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://links.test") as client,
    ):
        yield client


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate(Settings(DATABASE_URL=postgres_url, APP_ENV="lab"))
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_a_service_leaves_a_server_that_only_reads_as_soon_as_another_one_answers(
    postgres_url: str, sql: asyncpg.Connection
) -> None:
    # Heeded by new connections only, as a failover is: the old ones lead to what is a standby now.
    mode = f'ALTER DATABASE "{urlsplit(postgres_url).path[1:]}" SET default_transaction_read_only = '
    await sql.execute(mode + "on")
    async with serving(postgres_url) as client:
        refused = await asyncio.gather(*(client.post("/links", json={"url": "https://e.com"}) for _ in range(10)))
        assert {answer.status_code for answer in refused} == {503}
        await sql.execute("SET default_transaction_read_only = off")
        await sql.execute(mode + "off")
        # One of those that are still open finds out, for all of them.
        await client.post("/links", json={"url": "https://e.com"})
        answers = await asyncio.gather(*(client.post("/links", json={"url": "https://e.com"}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}


@pytest.mark.usefixtures("sql")
async def test_no_server_of_the_wanted_kind_is_a_503(postgres_url: str) -> None:
    async with serving(f"{postgres_url}?target_session_attrs=standby") as client:
        assert (await client.get("/links")).status_code == 503
        ready = await client.get("/readiness")
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["detail"] == "TargetServerAttributeNotMatched"


async def test_a_statement_that_the_server_ends_for_its_length_is_a_503(
    postgres_url: str, sql: asyncpg.Connection
) -> None:
    await sql.execute("INSERT INTO links (slug, url, created_at) VALUES ('held', 'https://e.com', now())")
    async with serving(f"{postgres_url}?statement_timeout=300") as client, sql.transaction():
        await sql.execute("SELECT 1 FROM links WHERE slug = 'held' FOR UPDATE")
        assert (await client.get("/held")).status_code == 503


@pytest.mark.usefixtures("sql")
async def test_of_several_hosts_one_that_answers_is_enough(postgres_url: str) -> None:
    async with serving(postgres_url.replace("@", "@127.0.0.1:1,")) as client:
        assert (await client.get("/readiness")).status_code == 200
        assert (await client.get("/links")).status_code == 200
