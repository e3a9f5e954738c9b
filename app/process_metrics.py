"""What prometheus_client can't tell across workers: memory, open files, event-loop lag, the pool."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.pool import QueuePool

from app.database import Database

SAMPLE_EVERY = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc/self")


class ProcessMetrics:
    """Gauges of one worker; the dead drop out of the sums (multiprocess_mode live*)."""

    def __init__(self, registry: CollectorRegistry, database: Database) -> None:
        self._pool = database.engine.pool

        def gauge(name: str, text: str, mode: str = "livesum", labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self._workers = gauge("app_workers", "Worker processes that serve.")
        self._memory = gauge("app_resident_memory_bytes", "Resident memory of all workers.")
        self._files = gauge("app_open_fds", "Open file descriptors of all workers.")
        self._lag = gauge("app_event_loop_lag_seconds", "How late the slowest worker's event loop wakes up.", "livemax")
        self._connections = gauge("db_pool_connections", "Database connections of all workers.", labels=("state",))
        self._capacity = gauge("db_pool_capacity", "Database connections that all workers may open.")

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        """Keep the gauges up to date for as long as the block runs."""
        self._workers.set(1)
        sampling = asyncio.create_task(self._sample_forever())
        try:
            yield
        finally:
            sampling.cancel()
            with suppress(asyncio.CancelledError):
                await sampling

    async def _sample_forever(self) -> None:
        while True:
            self._sample()
            asleep_since = time.perf_counter()
            await asyncio.sleep(SAMPLE_EVERY)
            self._lag.set(max(0.0, time.perf_counter() - asleep_since - SAMPLE_EVERY))

    def _sample(self) -> None:
        with suppress(OSError):  # no /proc outside Linux
            self._memory.set(int((_PROC / "statm").read_text().split()[1]) * _PAGE)
            self._files.set(sum(1 for _ in (_PROC / "fd").iterdir()))
        if isinstance(self._pool, QueuePool):
            in_use = self._pool.checkedout()
            self._connections.labels("in_use").set(in_use)
            self._connections.labels("idle").set(self._pool.checkedin())
            self._capacity.set(self._pool.size())
