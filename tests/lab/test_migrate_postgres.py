"""Migrations that build an index beside running transactions, on a real PostgreSQL: the recipe of app/migrations."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from app import migrate as migrating
from app.migrate import migrate
from app.settings import Settings

RECIPE = re.compile(r"```python\n(def upgrade\(\).*?)```", re.DOTALL)
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_links_url')"


@pytest.fixture
async def settings(postgres_url: str) -> Settings:
    """Of a database at 0001, as the release before left it."""
    settings = Settings(DATABASE_URL=postgres_url, APP_ENV="lab")
    await migrate(settings)
    return settings


@pytest.fixture
def add_revision(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the release one that needs a 0002, of which the body is given."""

    def add(upgrade: str) -> None:
        scripts = tmp_path / "migrations"
        shutil.copytree(migrating.MIGRATIONS, scripts, dirs_exist_ok=True)
        head = 'from alembic import op\n\nrevision = "0002"\ndown_revision = "0001"\n\n\n'
        (scripts / "versions" / "0002_index.py").write_text(head + upgrade)
        monkeypatch.setattr(migrating, "MIGRATIONS", scripts)
        monkeypatch.setattr(migrating, "REQUIRED_REVISION", "0002")

    return add


@pytest.fixture
def recipe(add_revision: Callable[[str], None]) -> None:
    found = RECIPE.search((migrating.MIGRATIONS / "README.md").read_text())
    assert found
    add_revision(found[1])


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def older(postgres_url: str, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that is open already, and keeps its snapshot between two statements as a long report does."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await connection.execute("SELECT count(*) FROM links")
    yield connection
    await connection.close()


async def waits_for_older(sql: asyncpg.Connection) -> None:
    async with asyncio.timeout(10):
        while not await sql.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted"):
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("recipe")
async def test_two_who_build_an_index_at_once_both_succeed(
    settings: Settings, sql: asyncpg.Connection, older: asyncpg.Connection
) -> None:
    migrations = [asyncio.create_task(migrate(settings)) for _ in range(2)]
    await waits_for_older(sql)
    # Longer than PostgreSQL takes to find a deadlock.
    await asyncio.sleep(1.5)
    await older.execute("COMMIT")
    await asyncio.gather(*migrations)
    assert await sql.fetchval(VALID) is True
    assert await sql.fetchval("SELECT version_num FROM alembic_version") == "0002"


@pytest.mark.usefixtures("recipe")
async def test_an_index_waits_longer_for_older_transactions_than_a_lock_is_waited_for(
    settings: Settings, sql: asyncpg.Connection, older: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LOCK_TIMEOUT", "100ms")
    migration = asyncio.create_task(migrate(settings))
    await waits_for_older(sql)
    await asyncio.sleep(0.5)
    await older.execute("COMMIT")
    await migration
    assert await sql.fetchval(VALID) is True


@pytest.mark.usefixtures("recipe")
async def test_an_index_whose_build_was_interrupted_is_in_nobodys_way(
    settings: Settings, sql: asyncpg.Connection, older: asyncpg.Connection
) -> None:
    interrupted = asyncio.create_task(migrate(settings))
    await waits_for_older(sql)
    await sql.execute(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
    )
    with pytest.raises(Exception, match="57014"):
        await interrupted
    await older.execute("COMMIT")
    assert await sql.fetchval(VALID) is False
    await migrate(settings)
    assert await sql.fetchval(VALID) is True


async def test_a_statement_in_a_transaction_waits_for_a_lock_no_longer_than_the_limit(
    settings: Settings,
    add_revision: Callable[[str], None],
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrating, "LOCK_TIMEOUT", "100ms")
    add_revision('def upgrade() -> None:\n    op.execute("ALTER TABLE links ADD COLUMN note text")\n')
    async with sql.transaction():
        await sql.execute("SELECT count(*) FROM links")
        async with asyncio.timeout(30):
            with pytest.raises(Exception, match="55P03"):
                await migrate(settings)
    await migrate(settings)
