"""What runs where since when, what was taken back, and what each release changed."""

from __future__ import annotations

from observability.dashboards.dashboard import Dashboard, Row
from observability.dashboards.panels import named, number, table
from observability.dashboards.releases import by_release
from observability.dashboards.requests import duration, errors, rate
from observability.dashboards.targets import now
from observability.dashboards.variables import ENV, SERVICE

SITE = 'service="$service",env="$env"'
COMMITTED = "portside_release_timestamp_seconds"
EVERY_HOST = "service, env, host, release"

RUNNING = f"""
max by ({EVERY_HOST}, kind, previous, commit, by) (
portside_release_info * on ({EVERY_HOST}) group_left () max by ({EVERY_HOST}) ({COMMITTED})) * 1000
"""


def taken_back(kind: str) -> str:
    """How often, in the chosen time. Every host of a site counts the same operation."""
    return f'round(max(increase(portside_rollbacks_total{{{SITE},kind="{kind}"}}[$__range])))'


PAGE = Dashboard(
    name="deploys",
    title="Deploys",
    description="What runs where since when, what was taken back, and what each release changed.",
    variables=(SERVICE, ENV),
    marked=SITE,
    since="now-24h",
    rows=(
        Row(
            "Releases",
            (
                number(
                    "Since the last release",
                    "Time since a release or a rollback of this service was committed in this environment.",
                    "s",
                    now(f"time() - max({COMMITTED}{{{SITE}}})"),
                    width=8,
                ),
                number(
                    "Rollbacks",
                    "Releases that people took back, in the chosen time.",
                    "none",
                    now(taken_back("rollback")),
                    width=8,
                ),
                number(
                    "Undone by themselves",
                    "Releases that ended before they were committed (they made the service worse, failed, or were "
                    "stopped), in the chosen time.",
                    "none",
                    now(taken_back("undo")),
                    width=8,
                ),
                table(
                    "What runs where",
                    "The committed release of every service, environment and host.",
                    "none",
                    now(RUNNING),
                    height=7,
                    transformations=(
                        {
                            "id": "organize",
                            "options": {
                                "excludeByName": {"Time": True},
                                "renameByName": {"Value": "since"},
                                "indexByName": {
                                    name: place
                                    for place, name in enumerate(
                                        ("service", "env", "host", "release", "Value", "kind", "previous", "commit")
                                    )
                                },
                            },
                        },
                    ),
                    overrides=(named("since", unit="dateTimeAsLocal"),),
                ),
                table(
                    "Before and after",
                    "Each release that answered in the chosen time: requests per second while all of that time, share "
                    "of errors, slowest hundredth.",
                    "none",
                    now(rate(SITE, "release", over="$__range")),
                    now(errors(SITE, "release", over="$__range")),
                    now(duration(SITE, "release", over="$__range")),
                    height=7,
                    transformations=(
                        {"id": "merge", "options": {}},
                        {
                            "id": "organize",
                            "options": {
                                "excludeByName": {"Time": True},
                                "renameByName": {"Value #A": "requests", "Value #B": "errors", "Value #C": "99 %"},
                            },
                        },
                    ),
                    overrides=(
                        named("requests", unit="reqps"),
                        named("errors", unit="percentunit"),
                        named("99 %", unit="s"),
                    ),
                ),
            ),
        ),
        by_release(SITE),
    ),
)
