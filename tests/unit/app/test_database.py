"""Which errors mean that a database can't be used for now; how PostgreSQL comes to them is in tests/lab."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asyncpg import (
    InvalidAuthorizationSpecificationError,
    InvalidCatalogNameError,
    InvalidPasswordError,
    PostgresError,
    TargetServerAttributeNotMatched,
)
from sqlalchemy.exc import DBAPIError, InternalError

from app.database import Database, DatabaseUnavailableError
from app.settings import Settings


class DriverError(Exception):
    """As SQLAlchemy's dialect raises it in place of asyncpg's own."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("it failed")
        self.sqlstate = sqlstate


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database.of_service(settings)
    yield database
    await database.close()


@pytest.mark.parametrize("sqlstate", ["08006", "25006", "53300", "55P03", "57014", "57P01"])
async def test_what_passes_by_itself_means_unavailable(database: Database, sqlstate: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match=sqlstate):
        async with database.available():
            raise DBAPIError("SELECT 1", None, DriverError(sqlstate))


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (InvalidPasswordError("password authentication failed"), r"^InvalidPasswordError \(28P01\)$"),
        (InvalidAuthorizationSpecificationError("no entry"), r"^InvalidAuthorizationSpecificationError \(28000\)$"),
        (InvalidCatalogNameError("does not exist"), r"^InvalidCatalogNameError \(3D000\)$"),
    ],
)
async def test_a_login_that_is_refused_means_unavailable(
    database: Database, refused: PostgresError, named: str
) -> None:
    with pytest.raises(DatabaseUnavailableError, match=named):
        async with database.available():
            error = DriverError(refused.sqlstate)
            error.__cause__ = refused
            raise DBAPIError("SELECT 1", None, error)


async def test_no_server_of_the_wanted_kind_means_unavailable(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"^TargetServerAttributeNotMatched$"):
        async with database.available():
            error = DriverError(None)
            error.__cause__ = TargetServerAttributeNotMatched("none matches 'primary'")
            raise InternalError("SELECT 1", None, error)


@pytest.mark.parametrize("sqlstate", ["22003", "42P01", "XX000"])
async def test_what_is_wrong_with_the_statement_or_the_server_is_an_error(database: Database, sqlstate: str) -> None:
    with pytest.raises(DBAPIError):
        async with database.available():
            raise InternalError("SELECT 1", None, DriverError(sqlstate))
