"""[judge]: what a new release is compared by while it bakes, and from where on it is worse."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from portside.config.base import Model, Name, Seconds

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Series = Annotated[
    str, StringConstraints(pattern=r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_]\w*="[^"\\]*"(,[a-zA-Z_]\w*="[^"\\]*")*\})?$')
]


class Judge(Model):
    """How a new release is judged against the previous one. What each number means: docs/judge.md.

    `significance` is the probability that a release as good as the previous one is undone by chance; `errors` are
    percentage points, `slower` per cent, `slower_ms` milliseconds.
    """

    enabled: bool = True
    early: bool = False
    minimum: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    significance: Annotated[float, Field(gt=0, le=0.1)] = 0.001
    errors: Annotated[float, Field(ge=0, le=50)] = 0.2
    slower: Annotated[float, Field(gt=0, le=1000)] = 50.0
    slower_ms: Annotated[float, Field(ge=0, le=60_000)] = 10.0
    warm_up: Seconds = 3
    path: Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")] = "/metrics"
    requests: MetricName = "http_requests_total"
    duration: MetricName = "http_request_duration_seconds"
    status: LabelName = "status"
    route: tuple[LabelName, ...] = ("method", "handler")
    in_flight: Series = "http_requests_in_flight"
    pool_in_use: Series = 'db_pool_connections{state="in_use"}'
    pool_capacity: Series = "db_pool_capacity"
    error_lines: str = '"level": ?"[CEFcef]'
    prometheus: dict[Name, str] = {}

    @field_validator("error_lines")
    @classmethod
    def _pattern(cls, pattern: str) -> str:
        if "\n" in pattern:
            raise ValueError("a pattern is one line")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern

    @field_validator("prometheus")
    @classmethod
    def _queries(cls, queries: dict[str, str]) -> dict[str, str]:
        for name, query in queries.items():
            if not query.strip():
                raise ValueError(f"{name} is empty; a query is PromQL that answers something only when all is not well")
        return queries
