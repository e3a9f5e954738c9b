"""Brings the database's schema to the newest revision: `python -m app.migrate`.

Safe to run twice, to run twice at once, and to run from an older release than the schema's.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from loguru import logger
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database, DatabaseUnavailableError
from app.logs import configure_logging
from app.schema_version import REQUIRED_REVISION, read_schema_version
from app.settings import Settings, load_settings_or_exit

# Any fixed number: the name of the lock that migrations of this service share.
ADVISORY_LOCK = 7_311_014_229
ASK_AGAIN_AFTER = 0.25
LOCK_TIMEOUT = "5s"
MIGRATIONS = Path(__file__).parent / "migrations"


def main() -> int:
    """Exit code 0 when the schema is usable for this release, 1 when it isn't."""
    settings = load_settings_or_exit()
    configure_logging(service=settings.service, env=settings.env, release=settings.release, level=settings.log_level)
    try:
        asyncio.run(migrate(settings))
    except DatabaseUnavailableError as unavailable:
        logger.critical("the database can't be used, or a lock wasn't free in time: {}", unavailable)
        return 1
    except Exception:
        logger.opt(exception=True).critical(
            "the migration failed: what it did in a transaction was rolled back, the rest stays"
        )
        return 1
    return 0


async def migrate(settings: Settings) -> None:
    """Raises DatabaseUnavailableError, or whatever a migration raises."""
    database = Database(
        settings.database,
        pool_size=1,
        timeout=settings.database_timeout,
        # A long index build is legitimate; whoever runs the migration sets its deadline.
        statement_timeout=None,
        application_name=f"{settings.service}-migrate",
    )
    try:
        async with (
            database.available(),
            database.engine.connect() as connection,
            _alone(connection, wait=settings.migration_wait),
        ):
            await _upgrade(connection)
    finally:
        await database.close()


async def _upgrade(connection: AsyncConnection) -> None:
    before = await read_schema_version(connection)
    await connection.rollback()
    if before and before.revision >= REQUIRED_REVISION:
        if problem := before.problem_for(REQUIRED_REVISION):
            raise RuntimeError(problem)
        logger.info("nothing to migrate: the schema is at {}", before.revision)
        return
    await connection.run_sync(_run_alembic)
    await connection.commit()
    logger.info("migrated from {} to {}", before.revision if before else "nothing", REQUIRED_REVISION)


def _run_alembic(connection: Connection) -> None:
    # Imported here: a process that finds its schema in place starts without Alembic.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # It is interpolated, as in an alembic.ini.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        event.listen(connection, "begin", _limit_lock_waits)
    command.upgrade(config, "head")


def _limit_lock_waits(connection: Connection) -> None:
    # Without effect outside of a transaction, where an index is built that has to wait for all older transactions.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


@asynccontextmanager
async def _alone(connection: AsyncConnection, *, wait: float) -> AsyncIterator[None]:
    """Whoever comes second waits, and then finds nothing left to do. Raises DatabaseUnavailableError after `wait` s."""
    if connection.dialect.name != "postgresql":
        lock = await asyncio.to_thread(_lock_file, Path(f"{connection.engine.url.database}.lock"))
        try:
            # Several workers write to one file: readers don't wait for the writer with this, which the file keeps. Of
            # two that turn it on at once, SQLite refuses one without waiting.
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            await connection.rollback()
            yield
        finally:
            lock.close()
        return
    await _take_advisory_lock(connection, wait=wait)
    try:
        yield
    finally:
        await connection.rollback()
        await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        await connection.commit()


async def _take_advisory_lock(connection: AsyncConnection, *, wait: float) -> None:
    deadline = time.monotonic() + wait
    # Held by the session, not by a transaction, so that a migration may commit in between. Asked for again and again:
    # who waits inside a statement holds a snapshot, and an index that is built concurrently would wait for that.
    while not (await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK})).scalar():
        await connection.commit()
        if time.monotonic() >= deadline:
            raise DatabaseUnavailableError(f"another migration is still running after {wait:g} s (MIGRATION_WAIT)")
        await asyncio.sleep(ASK_AGAIN_AFTER)
    await connection.commit()


def _lock_file(path: Path) -> TextIO:
    """Closing it gives the lock back."""
    lock = path.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


if __name__ == "__main__":
    sys.exit(main())
