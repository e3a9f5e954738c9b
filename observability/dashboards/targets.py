"""What a panel asks a data source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from observability.dashboards.sources import LOKI, PROMETHEUS, Source


@dataclass(frozen=True)
class Target:
    """One query. `instant` asks for the newest value alone, which is what a table or a single number shows."""

    expr: str
    legend: str = ""
    instant: bool = False
    source: Source = PROMETHEUS

    def as_json(self, ref: str, *, table: bool = False) -> dict[str, Any]:
        """`ref` is the query's letter in its panel."""
        asked = {"expr": self.expr, "refId": ref, "datasource": self.source.as_json(), "legendFormat": self.legend}
        if self.source == LOKI:
            return {**asked, "queryType": "instant" if self.instant else "range"}
        return {
            **asked,
            "instant": self.instant,
            "range": not self.instant,
            "format": "table" if table else "time_series",
        }


def query(expr: str, legend: str = "") -> Target:
    """PromQL over the time range."""
    return Target(_on_one_line(expr), legend)


def now(expr: str, legend: str = "") -> Target:
    """PromQL for the end of the time range."""
    return Target(_on_one_line(expr), legend, instant=True)


def logs(expr: str, legend: str = "") -> Target:
    """LogQL over the time range."""
    return Target(_on_one_line(expr), legend, source=LOKI)


def logs_now(expr: str, legend: str = "") -> Target:
    """LogQL for the end of the time range."""
    return Target(_on_one_line(expr), legend, instant=True, source=LOKI)


def _on_one_line(expr: str) -> str:
    return " ".join(expr.split())
