"""How long the database takes, by family of statements: what is done to which table."""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy import event
from sqlalchemy.sql import Delete, Insert, Select, Update, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import TableClause

from app.database import Database
from app.models import Base

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
OTHER = "other"

Family = tuple[str, str]


def observe_statements(database: Database, registry: CollectorRegistry) -> None:
    """Time every statement of this database's pool, failed ones included."""
    duration = Histogram(
        "db_statement_duration_seconds",
        "Time from sending a statement to the first row of its result.",
        ["operation", "table", "outcome"],
        buckets=BUCKETS,
        registry=registry,
    )
    families = _Families()

    def started(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.started_at = time.perf_counter()

    def finished(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        seconds = time.perf_counter() - context.started_at
        duration.labels(*families.of(context, statement), "ok").observe(seconds)

    def failed(exception: Any) -> None:
        context = exception.execution_context
        started_at = getattr(context, "started_at", None)
        if started_at is not None:
            seconds = time.perf_counter() - started_at
            duration.labels(*families.of(context, exception.statement or ""), "error").observe(seconds)

    event.listen(database.engine.sync_engine, "before_cursor_execute", started)
    event.listen(database.engine.sync_engine, "after_cursor_execute", finished)
    event.listen(database.engine.sync_engine, "handle_error", failed)


class _Families:
    """Operation and table of a statement: bounded by five operations and the tables of the models."""

    def __init__(self) -> None:
        # SQLAlchemy keeps what it compiled, and so is asked once per kind of statement.
        self._known: WeakKeyDictionary[SQLCompiler, Family] = WeakKeyDictionary()

    def of(self, context: Any, statement: str) -> Family:
        compiled = context.compiled
        if not isinstance(compiled, SQLCompiler):
            return _operation(statement), OTHER
        family = self._known.get(compiled)
        if family is None:
            family = self._known[compiled] = (_operation(statement), _table(compiled.statement))
        return family


def _operation(statement: str) -> str:
    word = statement.lstrip()[:6].upper()
    return word.lower() if word in OPERATIONS else OTHER


def _table(statement: object) -> str:
    """The table that is written to, or the first one that is read; only the service's own have a name here."""
    named: object = None
    if isinstance(statement, (Insert, Update, Delete)):
        named = statement.table
    elif isinstance(statement, Select):
        parts = (part for source in statement.get_final_froms() for part in visitors.iterate(source))
        named = next((part for part in parts if isinstance(part, TableClause)), None)
    name = named.name if isinstance(named, TableClause) else ""
    return name if name in Base.metadata.tables else OTHER
