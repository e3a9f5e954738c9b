"""What the service says: how much, how bad, and the lines themselves."""

from __future__ import annotations

from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.links import uid
from observability.dashboards.panels import bars, graph, lines, named, number
from observability.dashboards.targets import logs, logs_now, now
from observability.dashboards.variables import (
    ENV,
    HOST,
    LEVEL,
    RELEASE,
    REQUEST_ID,
    ROUTE,
    SERVICE,
    TEXT,
    TRACE_ID,
)

STREAMS = '{service="$service",env="$env",host=~"$host",level=~"$level"}'
CHOSEN = '| release=~"$release" | route=~"$route"'
PAGE = Dashboard(
    name="logs",
    title="Logs",
    description="Lines by level, routes with errors, and the lines of a request, a route or a release.",
    variables=(SERVICE, ENV, HOST, LEVEL, RELEASE, ROUTE, REQUEST_ID, TRACE_ID, TEXT),
    marked='service="$service",env="$env"',
    since="now-1h",
    rows=(
        Row(
            "How much",
            (
                graph(
                    "Lines by level",
                    "Lines per second. A change of the mix says more than its height.",
                    "cps",
                    logs(f"sum by (level) (rate({STREAMS} {CHOSEN} [$__auto]))", "{{level}}"),
                    bars=True,
                    stacked=True,
                    width=12,
                    overrides=(
                        named("critical", color={"mode": "fixed", "fixedColor": "dark-red"}),
                        named("error", color={"mode": "fixed", "fixedColor": "red"}),
                        named("warning", color={"mode": "fixed", "fixedColor": "orange"}),
                        named("info", color={"mode": "fixed", "fixedColor": "green"}),
                        named("debug", color={"mode": "fixed", "fixedColor": "blue"}),
                    ),
                ),
                bars(
                    "Routes with errors",
                    "Requests answered with a 5xx status in the chosen time.",
                    "short",
                    logs_now(
                        'topk(10, sum by (route) (count_over_time({service="$service",env="$env",host=~"$host"} '
                        f'{CHOSEN} | status=~"5.." [$__range])))',
                        "{{route}}",
                    ),
                    width=8,
                    links=(
                        {
                            "title": "Lines of this route",
                            "url": f"/d/{uid('logs')}?${{__url_time_range}}&${{service:queryparam}}"
                            "&${env:queryparam}&var-route=${__field.labels.route:percentencode}",
                        },
                    ),
                ),
                number(
                    "Kept for",
                    "Older lines are deleted. Set by log_retention in portside.toml.",
                    "ns",
                    now('max(loki_overrides_defaults{job="loki",limit_name="retention_period"})'),
                    width=4,
                    height=8,
                ),
            ),
        ),
        Row(
            "Lines",
            (
                lines(
                    "Lines",
                    "Open a line for its fields; its request id and its trace id lead to the lines that share them.",
                    logs(f'{STREAMS} |= `$text` {CHOSEN} | request_id=~"$request_id.*" | trace_id=~"$trace_id.*"'),
                    height=20,
                ),
            ),
        ),
    ),
)
