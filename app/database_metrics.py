"""How long the database takes, by kind of statement."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy import event

from app.database import Database

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


def observe_statements(database: Database, registry: CollectorRegistry) -> None:
    """Time every statement of this database's pool, failed ones included."""
    duration = Histogram(
        "db_statement_duration_seconds",
        "Time from sending a statement to the first row of its result.",
        ["operation", "outcome"],
        buckets=BUCKETS,
        registry=registry,
    )

    def started(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.started_at = time.perf_counter()

    def finished(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        duration.labels(_operation(statement), "ok").observe(time.perf_counter() - context.started_at)

    def failed(exception: Any) -> None:
        started_at = getattr(exception.execution_context, "started_at", None)
        if started_at is not None:
            seconds = time.perf_counter() - started_at
            duration.labels(_operation(exception.statement or ""), "error").observe(seconds)

    event.listen(database.engine.sync_engine, "before_cursor_execute", started)
    event.listen(database.engine.sync_engine, "after_cursor_execute", finished)
    event.listen(database.engine.sync_engine, "handle_error", failed)


def _operation(statement: str) -> str:
    """A label with five values, whatever the statement."""
    word = statement.lstrip()[:6].upper()
    return word.lower() if word in OPERATIONS else "other"
