"""What a Prometheus knows of a service that lived for a while; asked over its API."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Watched:
    """The central Prometheus at `url`, and Loki where there is one: all since `begun` (seconds since the epoch)."""

    url: str
    loki: str | None
    begun: float

    def ask(self, path: str, **parameters: Any) -> Any:
        """The data of an answer of its API. AssertionError with Prometheus' own words when it refuses."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def now(self, expr: str) -> list[dict[str, Any]]:
        """The series that have a value, and not just NaN, at this moment."""
        result = self.ask("query", query=expr)["result"]
        return [series for series in result if not math.isnan(float(series["value"][1]))]

    def since_the_beginning(self, expr: str) -> list[dict[str, Any]]:
        """The series that had a value, and not just NaN, at any time."""
        result = self.ask("query_range", query=expr, start=self.begun, end=time.time(), step=1)["result"]
        return [series for series in result if not all(math.isnan(float(value)) for _, value in series["values"])]

    def logged(self, expr: str, *, instant: bool) -> list[dict[str, Any]]:
        """What Loki answers. AssertionError with its own words when it refuses."""
        path = "query" if instant else "query_range"
        ends = {} if instant else {"start": str(self.begun), "end": str(time.time())}
        url = f"{self.loki}/loki/api/v1/{path}"
        answer = httpx.get(url, params={"query": expr, **ends}, timeout=30, trust_env=False)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def is_scraped(self, job: str) -> bool:
        """Whether there is a program behind the job."""
        return bool(self.now(f'up{{job="{job}"}} == 1'))

    def parsed(self, expr: str) -> Any:
        """The expression's tree, as Prometheus itself reads it. AssertionError says what is wrong with it."""
        return self.ask("parse_query", query=expr)

    def labels_of(self, metric: str) -> frozenset[str] | None:
        """The labels that any of the metric's series has; None when there is no such series."""
        series = self.ask("series", **{"match[]": f'{{__name__="{metric}"}}', "start": self.begun})
        return frozenset().union(*series) - {"__name__"} if series else None
