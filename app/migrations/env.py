"""Run by Alembic for every command: migrates over the connection that app/migrate.py opened."""

from __future__ import annotations

from alembic import context

from app.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    # A later migration that fails doesn't undo the ones before it, each of which is complete.
    transaction_per_migration=True,
)
context.run_migrations()
