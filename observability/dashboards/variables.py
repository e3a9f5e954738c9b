"""What can be chosen at the top of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from observability.dashboards.sources import PROMETHEUS

# Ask again when the time range changes: what was there last week isn't what is there now.
ON_TIME_RANGE = 2
ALPHABETICAL, REVERSED = 1, 2
EVERYTHING = ".*"


@dataclass(frozen=True)
class Variable:
    """One choice. `everything`: several values, or all; then queries match it with =~, else with =."""

    name: str
    label: str
    expr: str = ""
    choices: Sequence[str] = ()
    everything: bool = False
    sort: int = ALPHABETICAL

    def as_json(self) -> dict[str, Any]:
        shared = {"name": self.name, "label": self.label, "hide": 0, "skipUrlSync": False}
        if not self.expr and not self.choices:
            return {**shared, "type": "textbox", "query": "", "current": {"text": "", "value": ""}, "options": []}
        several = {"multi": self.everything, "includeAll": self.everything, "options": []}
        chosen: dict[str, Any] = {}
        if self.everything:
            several["allValue"] = EVERYTHING
            chosen = {"current": {"text": ["All"], "value": ["$__all"]}}
        if self.choices:
            return {**shared, "type": "custom", "query": ",".join(self.choices), **several, **chosen}
        return {
            **shared,
            "type": "query",
            "datasource": PROMETHEUS.as_json(),
            "definition": self.expr,
            "query": {"query": self.expr, "refId": f"variable-{self.name}", "qryType": 1},
            "refresh": ON_TIME_RANGE,
            "sort": self.sort,
            "regex": "",
            **several,
            **chosen,
        }


SERVICE = Variable("service", "Service", "label_values(app_info, service)")
ENV = Variable("env", "Environment", 'label_values(app_info{service="$service"}, env)')
HOST = Variable("host", "Host", 'label_values(app_info{service="$service",env="$env"}, host)', everything=True)
RELEASE = Variable(
    "release",
    "Release",
    'label_values(app_info{service="$service",env="$env",host=~"$host"}, release)',
    everything=True,
    # Their names start with the time they were made.
    sort=REVERSED,
)
ROUTE = Variable(
    "route",
    "Route",
    'label_values(http_requests_total{service="$service",env="$env",release=~"$release"}, handler)',
    everything=True,
)
LEVEL = Variable("level", "Level", choices=("debug", "info", "warning", "error", "critical"), everything=True)
REQUEST_ID = Variable("request_id", "Request id")
TRACE_ID = Variable("trace_id", "Trace id")
TEXT = Variable("text", "Text in the line")

# Machines are there without a service on them, so these two ask the machines.
ANY_ENV = Variable("env", "Environment", "label_values(node_uname_info, env)", everything=True)
ANY_HOST = Variable("host", "Host", 'label_values(node_uname_info{env=~"$env"}, host)', everything=True)
