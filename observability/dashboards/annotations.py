"""Deploy markers: a line across every graph at the moment of a release, a rollback or an automatic undo.

Asked of Prometheus, not written to Grafana: docs/decisions/0008-deploy-markers.md.
"""

from __future__ import annotations

from typing import Any

from observability.dashboards.sources import PROMETHEUS


def markers(selector: str) -> list[dict[str, Any]]:
    """Releases, rollbacks and undos among the series that `selector` (PromQL, inside the braces) leaves."""
    return [
        _marker(
            "Releases and rollbacks",
            f"max by (service, env, release, kind) (portside_release_timestamp_seconds{{{selector}}})",
            title="{{kind}}: {{service}} {{release}} in {{env}}",
            colour="blue",
        ),
        _marker(
            "Undone releases",
            # 0 where nothing was ever undone.
            f"max by (service, env, release) (portside_undo_timestamp_seconds{{{selector}}}) > 0",
            title="undone: {{service}} {{release}} in {{env}}",
            colour="red",
        ),
    ]


def _marker(name: str, seconds: str, *, title: str, colour: str) -> dict[str, Any]:
    # The sample's value says when it happened (in Grafana's milliseconds); when it was scraped doesn't matter.
    return {
        "name": name,
        "datasource": PROMETHEUS.as_json(),
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "target": {"expr": f"({seconds}) * 1000", "refId": "Anno", "interval": "60s"},
        "useValueForTime": True,
        "titleFormat": title,
        "textFormat": "",
        "tagKeys": "service,env,release,kind",
    }
