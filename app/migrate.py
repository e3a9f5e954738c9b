"""Brings the database's schema to the newest revision: `python -m app.migrate`.

Safe to run twice, to run twice at once, and to run from an older release than the schema's.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from loguru import logger
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database, DatabaseUnavailableError
from app.logs import configure_logging
from app.schema_version import REQUIRED_REVISION, read_schema_version
from app.settings import Settings, load_settings_or_exit

# Any fixed number: the name of the lock that migrations of this service share.
ADVISORY_LOCK = 7_311_014_229
LOCK_TIMEOUT = "5s"


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
        logger.opt(exception=True).critical("the migration failed and was rolled back")
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
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _alone(connection: AsyncConnection, *, wait: float) -> AsyncIterator[None]:
    """Whoever comes second waits, and then finds nothing left to do."""
    if connection.dialect.name != "postgresql":
        lock = await asyncio.to_thread(_lock_file, Path(f"{connection.engine.url.database}.lock"))
        try:
            yield
        finally:
            lock.close()
        return
    # Held by the session, not by a transaction, so that a migration may commit in between.
    await connection.execute(text(f"SET lock_timeout = {int(wait * 1000)}"))
    await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    await connection.commit()
    try:
        yield
    finally:
        await connection.rollback()
        await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        await connection.commit()


def _lock_file(path: Path) -> TextIO:
    """Closing it gives the lock back."""
    lock = path.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


if __name__ == "__main__":
    sys.exit(main())
