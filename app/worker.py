"""The second role: deletes expired links every few seconds. `python -m app.worker`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from loguru import logger

from app import heartbeat
from app.database import Database, DatabaseUnavailableError
from app.links.store import LinkStore
from app.local_schema import prepare_local_schema
from app.logs import configure_logging
from app.settings import Settings, load_settings_or_exit

BATCH = 500
# What one batch takes at most while the database is away, in seconds: it is waited for at each of half a dozen steps,
# from the pool's ping to the rollback, and DATABASE_TIMEOUT is a minute at most.
PATIENCE = 600.0


def main() -> int:
    """Runs until SIGTERM or SIGINT; then exit code 0."""
    settings = load_settings_or_exit()
    configure_logging(service=settings.service, env=settings.env, release=settings.release, level=settings.log_level)
    asyncio.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    await prepare_local_schema(settings)
    database = Database.of_service(settings)
    logger.info("deleting expired links every {:g} s", settings.sweep_interval)
    try:
        await sweep_until(stopping, LinkStore(database), every=settings.sweep_interval)
    finally:
        await database.close()
    logger.info("stopped")


async def sweep_until(stopping: asyncio.Event, links: LinkStore, *, every: float) -> None:
    """A database that is away is waited for: the next round tries again."""
    while not stopping.is_set():
        try:
            deleted = await sweep(links, now=lambda: datetime.now(UTC), stopping=stopping)
        except DatabaseUnavailableError as error:
            logger.warning("the database is not available, next try in {:g} s: {}", every, error)
        except Exception:
            logger.opt(exception=True).error("deleting expired links failed, next try in {:g} s", every)
        else:
            if deleted:
                logger.bind(deleted=deleted).info("deleted {} expired links", deleted)
        await _wait(stopping, every)


async def sweep(links: LinkStore, *, now: Callable[[], datetime], stopping: asyncio.Event) -> int:
    """Delete all that has expired, batch by batch; a stop is heeded between two batches."""
    deleted = 0
    while not stopping.is_set():
        async with _beating():
            batch = await links.delete_expired(now=now(), at_most=BATCH)
        deleted += batch
        if batch < BATCH:
            break
    return deleted


@asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Signs of life while a database is waited for, which a restart would make no quicker. A process that stands still
    has none, and one that waits for ever ends them."""
    waiting = asyncio.create_task(_wait(asyncio.Event(), PATIENCE))
    try:
        yield
    finally:
        waiting.cancel()


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    """Return early when asked to stop; show signs of life meanwhile."""
    remaining = seconds
    while remaining > 0 and not stopping.is_set():
        heartbeat.beat()
        step = min(remaining, heartbeat.EVERY)
        try:
            async with asyncio.timeout(step):
                await stopping.wait()
        except TimeoutError:
            remaining -= step


if __name__ == "__main__":
    sys.exit(main())
