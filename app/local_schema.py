"""Local development without a database server: the SQLite file gets its tables by itself."""

from __future__ import annotations

from app.settings import Settings


async def prepare_local_schema(settings: Settings) -> None:
    """For SQLite only. PostgreSQL is migrated by `python -m app.migrate`, before a release serves."""
    if settings.database.is_postgres:
        return
    from app.migrate import migrate  # noqa: PLC0415 - PostgreSQL deployments never need it

    await migrate(settings)
