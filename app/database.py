"""One connection pool per process, and one kind of error for a database that can't be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import TargetServerAttributeNotMatched  # type: ignore[import-untyped]
from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.database_url import DatabaseUrl
from app.settings import Settings

READ_ONLY = "25006"


class DatabaseUnavailableError(Exception):
    """The database is down, unreachable, too slow to answer in time, or refuses the login. Worth trying again."""


class Database:
    """Connections are opened on first use, so that a service can start before its database."""

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        pool_size: int,
        timeout: float,
        application_name: str,
        statement_timeout: float | None,
    ) -> None:
        """`timeout` bounds waiting for a connection, `statement_timeout` one statement (None: unbounded)."""
        self.is_postgres = url.is_postgres
        self.engine: AsyncEngine = create_async_engine(
            url.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout,
            # A restarted database leaves dead connections in the pool; a ping costs less than an error.
            pool_pre_ping=True,
            # Values are the users'; they don't belong in error messages.
            hide_parameters=True,
            connect_args=_connect_arguments(url, timeout, statement_timeout, application_name),
        )
        if url.is_postgres:
            event.listen(self.engine.sync_engine, "handle_error", _leave_a_server_that_only_reads)
        else:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Commit at the end, roll back on an error. Raises DatabaseUnavailableError."""
        async with self.available(), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def available(self) -> AsyncIterator[None]:
        """Turn every way in which a database can be away into DatabaseUnavailableError."""
        try:
            yield
        except (TimeoutError, OSError, exc.TimeoutError) as error:
            raise DatabaseUnavailableError(type(error).__name__) from error
        except exc.DBAPIError as error:
            if _means_unavailable(error):
                raise DatabaseUnavailableError(_reason(error)) from error
            raise

    @classmethod
    def of_service(cls, settings: Settings, *, pool_size: int | None = None) -> Database:
        """The pool of one web or worker process."""
        return cls(
            settings.database,
            pool_size=pool_size or settings.database_pool_size,
            timeout=settings.database_timeout,
            statement_timeout=settings.database_timeout,
            application_name=f"{settings.service}@{settings.release}"[:63],
        )

    async def close(self) -> None:
        await self.engine.dispose()


def _means_unavailable(error: exc.DBAPIError) -> bool:
    # SQLAlchemy sorts asyncpg's errors only roughly: shutting down, starting up, too many connections, time-outs
    # of locks and statements arrive as plain DBAPIError with PostgreSQL's SQLSTATE, and as an InternalError that
    # of all hosts none is of the kind that target_session_attrs wants. A login that is refused (28, 3D000 where the
    # database doesn't exist) is for whoever runs the database to mend, while the service waits.
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    return (
        error.connection_invalidated
        or isinstance(error, (exc.OperationalError, exc.InterfaceError))
        or isinstance(_cause(error), TargetServerAttributeNotMatched)
        or _sqlstate(error.orig).startswith(("08", READ_ONLY, "28", "3D000", "53", "55P03", "57"))
    )


def _leave_a_server_that_only_reads(failure: ExceptionContext) -> None:
    # After a failover the connections may lead to what is a standby now, and would stay there for ever.
    if _sqlstate(failure.original_exception) == READ_ONLY:
        failure.is_disconnect = True


def _reason(error: exc.DBAPIError) -> str:
    name = type(_cause(error)).__name__
    state = _sqlstate(error.orig)
    return f"{name} ({state})" if state else name


def _cause(error: exc.DBAPIError) -> BaseException:
    """What the driver said, rather than what SQLAlchemy makes of it."""
    return (error.orig and error.orig.__cause__) or error.orig or error


def _sqlstate(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _connect_arguments(
    url: DatabaseUrl, timeout: float, statement_timeout: float | None, application_name: str
) -> dict[str, Any]:
    if not url.is_postgres:
        return {"timeout": timeout}
    return {
        **({"dsn": url.dsn} if url.dsn else {}),
        "timeout": timeout,
        "command_timeout": statement_timeout,
        "server_settings": {"application_name": application_name},
    }


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    # Enough with the write-ahead log that migrations turn on.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
