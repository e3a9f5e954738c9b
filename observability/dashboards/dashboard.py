"""A page: rows of panels under some choices, and its place in Grafana."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from observability.dashboards.annotations import markers
from observability.dashboards.links import TAG, all_pages, uid
from observability.dashboards.panels import FULL, Panel
from observability.dashboards.variables import Variable

# The last version of the classic model (Grafana's DashboardMigrator); newer ones are Grafana 13's to make on loading.
SCHEMA_VERSION = 42
MADE = "Written by `python -m observability.dashboards`."


@dataclass(frozen=True)
class Row:
    """Panels side by side, on a new line where the page is full. Those of one line are of one height."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """`marked` is the PromQL selector of the releases whose markers are drawn."""

    name: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    marked: str
    since: str = "now-3h"

    def as_json(self) -> dict[str, Any]:
        return {
            "uid": uid(self.name),
            "title": self.title,
            "description": f"{self.description} {MADE}",
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": self.since, "to": "now"},
            "timezone": "browser",
            "links": all_pages(),
            "annotations": {"list": markers(self.marked)},
            "templating": {"list": [variable.as_json() for variable in self.variables]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        number = y = 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": FULL, "h": 1},
            }
            y += 1
            x = height = 0
            for panel in row.panels:
                if x + panel.width > FULL:
                    x, y = 0, y + height
                number += 1
                yield panel.as_json(number, x=x, y=y)
                x, height = x + panel.width, panel.height
            y += height
