"""Whether this process should be sent requests: its phase of life and its dependencies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal

from loguru import logger

from app.database import Database, DatabaseUnavailableError
from app.schema_version import SchemaError, require_compatible_schema

# Proxies, gates and people ask at the same time; the dependencies are asked once.
CACHE_SECONDS = 1.0

Phase = Literal["starting", "serving", "draining"]


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. A check that isn't critical is reported, but keeps nobody from serving."""

    name: str
    probe: Callable[[], Coroutine[object, object, None]]
    timeout: float
    critical: bool = True


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`detail` is for people: which dependency, what kind of failure, nothing secret."""

    name: str
    ok: bool
    critical: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one question about readiness."""

    phase: Phase
    results: tuple[CheckResult, ...]

    @property
    def ready(self) -> bool:
        return self.phase == "serving" and all(result.ok for result in self.results if result.critical)


class Readiness:
    """Knows the phase of this process and asks its dependencies, at most once a second."""

    def __init__(self, checks: Sequence[Check], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = tuple(checks)
        self._clock = clock
        self._phase: Phase = "starting"
        self._results: tuple[CheckResult, ...] = ()
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    def serve(self) -> None:
        self._phase = "serving"

    def drain(self) -> None:
        self._phase = "draining"

    async def report(self) -> Report:
        """Never raises, and takes no longer than the slowest check's time-out."""
        if self._phase == "serving":
            async with self._asking:
                if self._asked_at is None or self._clock() - self._asked_at >= CACHE_SECONDS:
                    known = {result.name: result.detail for result in self._results}
                    results = await asyncio.gather(*(_ask(check, known.get(check.name)) for check in self._checks))
                    self._log_changes(results)
                    self._results, self._asked_at = tuple(results), self._clock()
        return Report(self._phase, self._results)

    def _log_changes(self, results: Sequence[CheckResult]) -> None:
        before = {result.name: result.ok for result in self._results}
        for result in results:
            if before.get(result.name, True) and not result.ok:
                logger.warning("not ready: {}: {}", result.name, result.detail)
            elif not before.get(result.name, True) and result.ok:
                logger.info("ready again: {}", result.name)


def database_checks(database: Database, *, timeout: float) -> list[Check]:
    """The database answers, and its schema is one that this release can work with."""

    async def answers_with_usable_schema() -> None:
        async with database.transaction() as connection:
            await require_compatible_schema(connection)

    return [Check("database", answers_with_usable_schema, timeout)]


async def _ask(check: Check, known: str | None) -> CheckResult:
    """`known` is the detail of the answer before."""
    started = time.perf_counter()
    detail = ""
    # Not asyncio.timeout(), which waits until a cancelled probe has tidied up: on a connection that went
    # silent the driver takes two more seconds for that.
    asking = asyncio.ensure_future(check.probe())
    asking.add_done_callback(_forget)
    try:
        answered, _ = await asyncio.wait({asking}, timeout=check.timeout)
        if answered:
            asking.result()
        else:
            detail = f"no answer within {check.timeout:g} s"
    except (DatabaseUnavailableError, SchemaError) as error:
        detail = str(error)
    except Exception as error:
        detail = type(error).__name__
        # A check that is itself broken means not ready, and somebody has to see why: once, not every second.
        if detail != known:
            logger.opt(exception=error).error("the check {} failed unexpectedly", check.name)
    finally:
        asking.cancel()
    seconds = round(time.perf_counter() - started, 6)
    return CheckResult(check.name, not detail, check.critical, seconds, detail)


def _forget(asked: asyncio.Future[None]) -> None:
    """Nobody waits for a late answer; looking at it keeps asyncio from complaining about it."""
    if not asked.cancelled():
        asked.exception()
