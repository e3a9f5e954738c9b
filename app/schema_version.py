"""Which versions of the database's schema this release can run against.

Revisions are four digits and only grow. During a release the previous release runs against the newer
schema, so newer is fine, unless the database says otherwise: a migration that takes something away
raises `oldest_compatible` in the same transaction (see app/migrations/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

# The newest revision in app/migrations/versions: what the models of this release need.
REQUIRED_REVISION = "0001"

_QUERY = text(
    "SELECT (SELECT version_num FROM alembic_version) AS revision, "
    "(SELECT revision FROM schema_support) AS oldest_compatible"
)


class SchemaError(Exception):
    """This release can't work with the schema that the database has."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """What the database says about itself."""

    revision: str
    oldest_compatible: str

    def problem_for(self, required: str) -> str | None:
        """Why a release that needs `required` can't run here, or None when it can."""
        if self.revision < required:
            return f"the schema is at {self.revision}, this release needs {required}: run the migrations"
        if required < self.oldest_compatible:
            return (
                f"the schema at {self.revision} supports releases from {self.oldest_compatible} on, "
                f"this one was made for {required}"
            )
        return None


async def read_schema_version(connection: AsyncConnection) -> SchemaVersion | None:
    """None when the database was never migrated."""
    try:
        row = (await connection.execute(_QUERY)).one()
    except (exc.ProgrammingError, exc.OperationalError) as error:
        if _means_missing_table(error):
            return None
        raise
    return SchemaVersion(row.revision, row.oldest_compatible) if row.revision else None


async def require_compatible_schema(connection: AsyncConnection) -> None:
    """Raises SchemaError."""
    version = await read_schema_version(connection)
    if version is None:
        raise SchemaError("the database has no schema yet: run the migrations")
    if problem := version.problem_for(REQUIRED_REVISION):
        raise SchemaError(problem)


def _means_missing_table(error: exc.DBAPIError) -> bool:
    undefined_table = "42P01"
    return getattr(error.orig, "sqlstate", None) == undefined_table or "no such table" in str(error.orig)
