"""The same three graphs wherever releases are compared."""

from __future__ import annotations

from observability.dashboards import thresholds
from observability.dashboards.dashboard import Row
from observability.dashboards.links import logs_of
from observability.dashboards.panels import graph
from observability.dashboards.requests import duration, errors, rate
from observability.dashboards.targets import query

ERRORS = thresholds.of_alert("HighErrorRatio")
SLOW = thresholds.of_alert("HighLatency")


def by_release(requests: str) -> Row:
    """Rate, errors and latency of the `requests` (a PromQL selector), a line for each release."""
    logs = (logs_of(release="release"),)
    return Row(
        "By release",
        (
            graph(
                "Requests by release",
                "Answered requests per second. At a switch one release takes over from the other.",
                "reqps",
                query(rate(requests, "release"), "{{release}}"),
                links=logs,
            ),
            graph(
                "Errors by release",
                "Share of each release's requests answered with a 5xx status.",
                "percentunit",
                query(errors(requests, "release"), "{{release}}"),
                threshold=ERRORS,
                links=logs,
            ),
            graph(
                "Latency by release",
                "Median and slowest hundredth of each release's requests.",
                "s",
                query(duration(requests, "release"), "{{release}} 99 %"),
                query(duration(requests, "release", quantile=0.5), "{{release}} 50 %"),
                threshold=SLOW,
                links=logs,
            ),
        ),
    )
