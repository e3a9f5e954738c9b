"""The kinds of panels there are. A panel says what it shows, in which unit, and why one would look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from observability.dashboards.targets import Target

FULL = 24
GOOD, DOUBTFUL, BAD = "green", "orange", "red"


@dataclass(frozen=True)
class Threshold:
    """Where a value turns bad, and perhaps where it turns doubtful. `below` when small values are the bad ones."""

    value: float
    below: bool = False
    doubtful: float | None = None

    def steps(self) -> list[dict[str, Any]]:
        if self.below:
            return [{"color": BAD, "value": None}, {"color": GOOD, "value": self.value}]
        doubt = [] if self.doubtful is None else [{"color": DOUBTFUL, "value": self.doubtful}]
        return [{"color": GOOD, "value": None}, *doubt, {"color": BAD, "value": self.value}]


@dataclass(frozen=True)
class Panel:
    """`width` in 24ths of the page, `height` in Grafana's rows of 30 pixels."""

    kind: str
    title: str
    description: str
    unit: str
    targets: Sequence[Target]
    width: int = 8
    height: int = 8
    threshold: Threshold | None = None
    links: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    overrides: Sequence[Mapping[str, Any]] = ()
    transformations: Sequence[Mapping[str, Any]] = ()

    def as_json(self, number: int, *, x: int, y: int) -> dict[str, Any]:
        """Grafana's panel, `number` being its id on the page."""
        source = self.targets[0].source
        steps = self.threshold.steps() if self.threshold else [{"color": GOOD, "value": None}]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": source.as_json(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [
                target.as_json(chr(ord("A") + index), table=self.kind == "table")
                for index, target in enumerate(self.targets)
            ],
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    **self.limits,
                    "color": {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"},
                    "thresholds": {"mode": "absolute", "steps": steps},
                    "custom": {**self.custom, **self._threshold_line()},
                    "links": [dict(link) for link in self.links],
                },
                "overrides": [dict(override) for override in self.overrides],
            },
            "options": dict(self.options),
            "transformations": [dict(transformation) for transformation in self.transformations],
        }

    def _threshold_line(self) -> dict[str, Any]:
        drawn = self.threshold is not None and self.kind == "timeseries"
        return {"thresholdsStyle": {"mode": "dashed"}} if drawn else {}


def graph(title: str, description: str, unit: str, *targets: Target, **more: Any) -> Panel:
    """Lines over time. `stacked` and `bars` change how they are drawn."""
    stacked, bars = more.pop("stacked", False), more.pop("bars", False)
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 1,
        "fillOpacity": 60 if bars else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, unit, targets, options=options, custom=custom, **_from_zero(more))


def number(title: str, description: str, unit: str, *targets: Target, **more: Any) -> Panel:
    """The newest value, large."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "justifyMode": "center",
    }
    return Panel("stat", title, description, unit, targets, **{"width": 6, "height": 4, "options": options, **more})


def bars(title: str, description: str, unit: str, *targets: Target, **more: Any) -> Panel:
    """The newest values, the largest on top."""
    options = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("bargauge", title, description, unit, targets, options=options, **more)


def table(title: str, description: str, unit: str, *targets: Target, **more: Any) -> Panel:
    """One line for each set of labels."""
    return Panel("table", title, description, unit, targets, **{"width": FULL, **more})


def lines(title: str, description: str, *targets: Target, **more: Any) -> Panel:
    """Log lines, the newest on top."""
    options = {
        "showTime": True,
        "showLabels": False,
        "wrapLogMessage": True,
        "prettifyLogMessage": False,
        "enableLogDetails": True,
        "sortOrder": "Descending",
        "dedupStrategy": "none",
    }
    return Panel("logs", title, description, "none", targets, **{"width": FULL, "options": options, **more})


def named(field: str, **properties: Any) -> dict[str, Any]:
    """What is different about one field of a panel; `custom_x` is Grafana's custom.x."""
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": key.replace("custom_", "custom."), "value": value} for key, value in properties.items()],
    }


def _from_zero(more: Mapping[str, Any]) -> dict[str, Any]:
    return {"limits": {"min": 0}, **more}
