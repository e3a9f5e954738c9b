"""What the service promises over 30 days, how much of the permitted failure is left, and how fast it goes."""

from __future__ import annotations

from observability.dashboards import thresholds
from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import Panel, Threshold, bars, graph, number
from observability.dashboards.targets import now, query
from observability.dashboards.variables import ENV, SERVICE

SITE = 'service="$service",env="$env"'
USED_UP = Threshold(0, below=True)
# The long window of each pair that alerts look at (observability/prometheus/rules/slo.yml).
WINDOWS = ("1h", "6h", "1d", "3d")


def left(objective: str, what: str) -> Panel:
    return number(
        f"{objective.capitalize()} budget left",
        f"Share of the {what} that 30 days may have, and have not had yet. Below zero the objective is missed.",
        "percentunit",
        now(f"slo:{objective}:budget_remaining_ratio{{{SITE}}}"),
        threshold=USED_UP,
    )


def kept(objective: str, what: str) -> Panel:
    return number(
        f"{objective.capitalize()}, 30 days",
        f"Share of requests that {what}, and the share that is promised in portside.toml. Covers less than 30 days "
        "while Prometheus has less.",
        "percentunit",
        now(f"1 - slo:{objective}:ratio_error_rate30d{{{SITE}}}", "kept"),
        now(f"slo:{objective}:objective", "promised"),
        limits={"decimals": 3},
    )


def burning(objective: str, what: str) -> Panel:
    return graph(
        f"{objective.capitalize()} budget burns",
        f"How many times as fast as a budget of {what} that lasts 30 days, over four windows. Orange: somebody should "
        "look; red: somebody is called.",
        "none",
        *(
            query(
                f"slo:{objective}:ratio_error_rate{window}{{{SITE}}} / (1 - scalar(slo:{objective}:objective))", window
            )
            for window in WINDOWS
        ),
        threshold=thresholds.of_burning(objective),
        width=12,
    )


PAGE = Dashboard(
    name="slo",
    title="Error budget",
    description="What the service promises over 30 days, and how much of the permitted failure is left.",
    variables=(SERVICE, ENV),
    marked=SITE,
    since="now-7d",
    rows=(
        Row(
            "Budget",
            (
                left("availability", "failed requests"),
                kept("availability", "did not fail"),
                left("latency", "slow requests"),
                kept("latency", "were fast enough"),
                graph(
                    "Budget left",
                    "Share of each budget that was left over the 30 days before each moment.",
                    "percentunit",
                    query(f"slo:availability:budget_remaining_ratio{{{SITE}}}", "availability"),
                    query(f"slo:latency:budget_remaining_ratio{{{SITE}}}", "latency"),
                    threshold=USED_UP,
                    limits={},
                    width=12,
                ),
                bars(
                    "Where it went",
                    "Failed requests in the chosen time, by route and release.",
                    "short",
                    now(
                        f"""topk(10, sum by (handler, release) (
                        increase(http_requests_total{{{SITE},status=~"5.."}}[$__range])))""",
                        "{{handler}} {{release}}",
                    ),
                    width=12,
                ),
            ),
        ),
        Row("Burn rate", (burning("availability", "failed requests"), burning("latency", "slow requests"))),
    ),
)
