"""Which alert goes to whom, and which alerts say nothing while another one does. Values for alertmanager.yml."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from portside.config import STACK, Receiver

NOBODY = "nobody"
SEVERITIES = ("critical", "warning")
# A page is worth a few seconds of waiting for its siblings; a ticket may wait for a minute, and is repeated once a day.
PACE = {
    "critical": {"group_wait": "10s", "group_interval": "1m", "repeat_interval": "2h"},
    "warning": {"group_wait": "1m", "group_interval": "5m", "repeat_interval": "24h"},
}
# The longest time after which somebody outside may miss a heartbeat is set there; this is how often it beats. What is
# to be repeated with every group has to be due a little earlier: at a minute each, it beat every other minute.
HEARTBEAT = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "50s"}

Json = dict[str, Any]


def route(receivers: Mapping[str, Receiver], neighbours: Mapping[str, Mapping[str, Collection[str]]]) -> Json:
    """The tree of routes. What no receiver takes is seen in Alertmanager's own page alone.

    `neighbours`: for an environment, which others share hosts with it, and what those hosts are called.
    """
    beats = [name for name, receiver in receivers.items() if "none" in receiver.severities]
    return {
        "receiver": NOBODY,
        "group_by": ["alertname", "service", "env"],
        **PACE["warning"],
        "routes": [
            {
                "receiver": NOBODY,
                "matchers": ['severity="none"'],
                "routes": [{"receiver": name, **HEARTBEAT, "continue": True} for name in beats],
            },
            *(each for name, receiver in receivers.items() for each in _routes(name, receiver, neighbours)),
        ],
    }


def _routes(name: str, receiver: Receiver, neighbours: Mapping[str, Mapping[str, Collection[str]]]) -> Iterator[Json]:
    """One route for each severity: they differ in pace. Others may want the same alert: `continue`."""
    for severity in SEVERITIES:
        if severity in receiver.severities:
            for matchers in (_environments(receiver), *_shared_hosts(receiver, neighbours)):
                whole = [f'severity="{severity}"', *matchers]
                yield {"receiver": name, "matchers": whole, **PACE[severity], "continue": True}


def _environments(receiver: Receiver) -> list[str]:
    """What has no environment is the monitoring itself, and what has its own is the monitoring's machine: whoever is
    told of anything is told of that."""
    # Names are letters, digits and hyphens: nothing that a regular expression or Alertmanager's parser would read.
    return [f'env=~"|{"|".join((STACK, *receiver.envs))}"'] if receiver.envs else []


def _shared_hosts(receiver: Receiver, neighbours: Mapping[str, Mapping[str, Collection[str]]]) -> Iterator[list[str]]:
    """A host's own alerts carry the environment that came to it first, and concern all of them."""
    others: dict[str, set[str]] = {}
    for mine in receiver.envs:
        for env, hosts in neighbours.get(mine, {}).items():
            others.setdefault(env, set()).update(hosts)
    for env, shared in sorted(others.items()):
        if env not in receiver.envs:
            # In what Alertmanager reads, a backslash is one only when it is two.
            named = "|".join(re.escape(host).replace("\\", r"\\") for host in sorted(shared))
            yield ['service=""', f'env="{env}"', f'host=~"{named}"']


def inhibitions() -> list[Json]:
    """Symptoms are muted by their cause. Labels in `equal` are those by which the two belong together."""
    return [
        _muted(['severity="critical"', 'service!=""'], ['severity="warning"', 'service!=""'], equal=["service", "env"]),
        _muted(['alertname="AgentGone"'], ['host!=""', 'alertname!="AgentGone"'], equal=["host"]),
        _muted(
            ['alertname="ServiceDown"'],
            ['alertname=~"ReadinessFailing|SiteDown|HighErrorRatio"'],
            equal=["service", "env", "host"],
        ),
        _muted(['alertname="ReadinessFailing"'], ['alertname="SiteDown"'], equal=["service", "env", "host"]),
        _muted(['alertname="HighErrorRatio"'], ['alertname="AvailabilityBudgetBurnsFast"'], equal=["service", "env"]),
        _muted(['alertname="HostDiskFull"'], ['alertname="HostDiskFillsUp"'], equal=["host", "device"]),
        _muted(['alertname="MonitoringDown"', 'job="loki"'], ['alertname=~"Loki.*|Logs(Dropped|Delayed)"'], equal=[]),
    ]


def _muted(source: list[str], target: list[str], *, equal: list[str]) -> Json:
    return {"source_matchers": source, "target_matchers": target, "equal": equal}


def unheard(receivers: Mapping[str, Receiver], envs: list[str]) -> list[tuple[str, str]]:
    """Environment and severity of alerts that nobody is told of."""
    return [
        (env, severity)
        for env in envs
        for severity in SEVERITIES
        if not any(severity in each.severities and (not each.envs or env in each.envs) for each in receivers.values())
    ]


def untold(receivers: Mapping[str, Receiver], envs: list[str]) -> list[str]:
    """The same as lines for a person."""
    if not receivers:
        return ["Nobody is told of alerts: add a receiver to portside.toml (docs/alerts.md)."]
    missing = unheard(receivers, envs)
    return [
        f"Nobody is told of {severity} alerts of {', '.join(env for env, other in missing if other == severity)}."
        for severity in SEVERITIES
        if any(other == severity for _, other in missing)
    ]
