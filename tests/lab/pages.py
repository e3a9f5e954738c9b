"""The committed dashboards as Grafana uses them: queries with the choices of a page put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.lab.world import ENV, OBSERVABILITY, SERVICE

# Grafana's own, for pages that show some minutes of scrapes a second apart.
BUILT_IN = {"__rate_interval": "1m", "__range": "5m", "__auto": "1m"}
CHOSEN = {"service": SERVICE, "env": ENV, "request_id": "", "trace_id": "", "text": ""}
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Query:
    """One question of a page. `name` says where it is; `instant` asks about this moment alone."""

    name: str
    source: str
    expr: str
    instant: bool

    def filled(self, **chosen: str) -> str:
        """The expression with every variable replaced: by what is chosen, and for choices of several by all."""
        values = {**BUILT_IN, **CHOSEN, **chosen}
        return VARIABLE.sub(lambda found: values.get(found[1] or found[2], ".*"), self.expr)


def queries() -> Iterator[Query]:
    """What panels ask."""
    for page in pages():
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                instant = target.get("instant", False) or target.get("queryType") == "instant"
                name = f"{page['title']}: {panel['title']} {target['refId']}"
                yield Query(name, target["datasource"]["type"], target["expr"], instant)


def marks() -> Iterator[Query]:
    """What annotations ask."""
    for page in pages():
        for mark in page["annotations"]["list"]:
            yield Query(f"{page['title']}: {mark['name']}", mark["datasource"]["type"], mark["target"]["expr"], False)


def choices() -> Iterator[tuple[str, str, str]]:
    """Name, series and label of what can be chosen: `label_values(series, label)`."""
    for page in pages():
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), *(\w+)\)", variable["query"]["query"])
                assert found, variable["query"]
                yield f"{page['title']}: {variable['label']}", found[1], found[2]


def pages() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((OBSERVABILITY / "grafana/dashboards").glob("*.json"))]
