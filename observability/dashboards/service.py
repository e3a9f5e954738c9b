"""The service: what it is asked, how it answers, what that costs it."""

from __future__ import annotations

from observability.dashboards import thresholds
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.links import logs_of
from observability.dashboards.panels import graph, number
from observability.dashboards.releases import ERRORS, SLOW, by_release
from observability.dashboards.requests import duration, errors, rate
from observability.dashboards.targets import now, query
from observability.dashboards.variables import ENV, HOST, RELEASE, ROUTE, SERVICE

REPLICAS = 'service="$service",env="$env",host=~"$host",release=~"$release"'
REQUESTS = f'{REPLICAS},handler=~"$route"'

PAGE = Dashboard(
    name="service",
    title="Service",
    description="Requests by route and by release, the database, and the processes of one service in one environment.",
    variables=(SERVICE, ENV, HOST, RELEASE, ROUTE),
    marked='service="$service",env="$env"',
    rows=(
        Row(
            "Now",
            (
                number("Requests", "Answered requests per second, probes left out.", "reqps", now(rate(REQUESTS))),
                number(
                    "Errors",
                    "Share of requests answered with a 5xx status. Red where HighErrorRatio fires.",
                    "percentunit",
                    now(errors(REQUESTS)),
                    threshold=ERRORS,
                ),
                number(
                    "Slowest hundredth",
                    "99 of 100 requests were answered within this time. Red where HighLatency fires.",
                    "s",
                    now(duration(REQUESTS)),
                    threshold=SLOW,
                ),
                number(
                    "In flight",
                    "Requests being worked on at this moment. Rising while the rate doesn't means that they wait.",
                    "short",
                    now(f"sum(http_requests_in_flight{{{REPLICAS}}})"),
                ),
            ),
        ),
        Row(
            "By route",
            (
                graph(
                    "Requests by route",
                    "Answered requests per second. `none` are paths that are no route.",
                    "reqps",
                    query(rate(REQUESTS, "handler"), "{{handler}}"),
                ),
                graph(
                    "Errors by route",
                    "Share of each route's requests answered with a 5xx status.",
                    "percentunit",
                    query(errors(REQUESTS, "handler"), "{{handler}}"),
                    threshold=ERRORS,
                    links=(logs_of(route="handler"),),
                ),
                graph(
                    "Latency by route and release",
                    "99 of 100 requests were answered within this time. Click a line for the logs of that route "
                    "and release.",
                    "s",
                    query(duration(REQUESTS, "handler", "release"), "{{handler}} {{release}}"),
                    threshold=SLOW,
                    links=(logs_of(route="handler", release="release"),),
                ),
            ),
        ),
        by_release(REQUESTS),
        Row(
            "Database",
            (
                graph(
                    "Connections",
                    "Of all workers. In use at the limit means that requests wait for a connection.",
                    "short",
                    query(f"sum by (state) (db_pool_connections{{{REPLICAS}}})", "{{state}}"),
                    query(f"sum(db_pool_capacity{{{REPLICAS}}})", "limit"),
                ),
                graph(
                    "Query time",
                    "95 of 100 statements of a family had their first row within this time.",
                    "s",
                    query(
                        f"""histogram_quantile(0.95, sum by (le, operation, table) (
                        rate(db_statement_duration_seconds_bucket{{{REPLICAS}}}[$__rate_interval])))""",
                        "{{operation}} {{table}}",
                    ),
                ),
                graph(
                    "Statements",
                    "Per second and family; failed ones have a line of their own.",
                    "ops",
                    query(
                        f"""sum by (operation, table, outcome) (
                        rate(db_statement_duration_seconds_count{{{REPLICAS}}}[$__rate_interval]))""",
                        "{{operation}} {{table}} {{outcome}}",
                    ),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                graph(
                    "Workers",
                    "Processes that serve, and those that ended in the last minutes, by reason.",
                    "short",
                    query(f"sum by (release) (app_workers{{{REPLICAS}}})", "{{release}}"),
                    query(
                        f"sum by (reason) (increase(app_worker_exits_total{{{REPLICAS}}}[$__rate_interval]))",
                        "ended: {{reason}}",
                    ),
                    width=6,
                ),
                graph(
                    "Memory",
                    "Resident memory of all workers of a replica.",
                    "bytes",
                    query(f"sum by (instance) (app_resident_memory_bytes{{{REPLICAS}}})", "{{instance}}"),
                    width=6,
                ),
                graph(
                    "Open files",
                    "File descriptors of all workers of a replica. Rising without an end is a leak.",
                    "short",
                    query(f"sum by (instance) (app_open_fds{{{REPLICAS}}})", "{{instance}}"),
                    width=6,
                ),
                graph(
                    "Event loop",
                    "How late the slowest worker wakes up. Everything it serves waits at least as long.",
                    "s",
                    query(f"max by (instance) (app_event_loop_lag_seconds{{{REPLICAS}}})", "{{instance}}"),
                    threshold=thresholds.of_alert("EventLoopBlocked"),
                    width=6,
                ),
            ),
        ),
    ),
)
