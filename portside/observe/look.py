"""How the central stack says that it is: questions, and its answers as one value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from portside.errors import CommandError
from portside.host.base import Host
from portside.host.script import script_argv
from portside.observe.place import SITE

LOOK_SECONDS = 60
# Each component once at most, when all of them hang.
QUESTION_SECONDS = 8
# Agents that wrote within a day and have stopped: their series are gone, and so is their `up`.
GONE = 'last_over_time(up{job="agent"}[1d]) unless on (host, env) up{job="agent"}'
# How long 99 of 100 lines took from Docker to Loki's yes. While Loki takes none there is no such figure, only
# attempts: then it is at least the five minutes that are looked at.
LAG = (
    "max by (host) (histogram_quantile(0.99, sum by (host, le) "
    "(rate(loki_write_entry_propagation_latency_seconds_bucket[5m]))) >= 0) "
    "or max by (host) (increase(loki_write_batch_retries_total[5m]) > 0) * 0 + 300"
)


def _query(expression: str) -> str:
    return f"/api/v1/query?query={quote(expression)}"


# Name, component, port, path.
READINESS = {
    "prometheus": (9090, "/-/ready"),
    "alertmanager": (9093, "/-/ready"),
    "grafana": (3000, "/api/health"),
    "loki": (3100, "/ready"),
    "ingest": (2020, "/metrics"),
}
QUESTIONS = {
    "down": ("prometheus", 9090, _query("up == 0")),
    "gone": ("prometheus", 9090, _query(GONE)),
    "lag": ("prometheus", 9090, _query(LAG)),
    "targets": ("prometheus", 9090, "/api/v1/targets?state=active"),
    "rules": ("prometheus", 9090, "/api/v1/rules"),
    "log_rules": ("loki", 3100, "/prometheus/api/v1/rules"),
    "alerts": ("alertmanager", 9093, "/api/v2/alerts?active=true&silenced=false&inhibited=false"),
}


@dataclass(frozen=True)
class Component:
    """`state` and `health` are the Engine's words; `ready` is what the component itself says."""

    state: str
    health: str
    restarts: int
    ready: bool


@dataclass(frozen=True)
class Stack:
    """The whole of it. Each entry of the lists says enough to start looking."""

    components: Mapping[str, Component]
    targets_down: tuple[Mapping[str, str], ...] = ()
    agents_gone: tuple[Mapping[str, str], ...] = ()
    rules_failing: tuple[Mapping[str, str], ...] = ()
    alerts: tuple[Mapping[str, str], ...] = ()
    log_lag_seconds: Mapping[str, float] | None = None

    @property
    def ready(self) -> bool:
        return bool(self.components) and all(component.ready for component in self.components.values())

    @property
    def well(self) -> bool:
        """Monitoring itself has nothing to complain of. Alerts are about what it watches, and so is a service that
        can't be scraped: it may have no metrics at all."""
        own = [target for target in self.targets_down if target.get("job") != "service"]
        return self.ready and not (own or self.agents_gone or self.rules_failing)

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "ready": self.ready, "well": self.well}


async def look(host: Host, *, only_ready: bool = False) -> Stack:
    """Ask the stack on `host`; `only_ready` asks whether its components are ready and nothing else."""
    arguments = [str(QUESTION_SECONDS)]
    for name, (port, path) in READINESS.items():
        arguments += [f"ready_{name}", name, str(port), path]
    if not only_ready:
        for name, (component, port, path) in QUESTIONS.items():
            arguments += [name, component, str(port), path]
    result = await host.run(script_argv("observe_look", SITE, *arguments), timeout=LOOK_SECONDS)
    result.check("the monitoring stack can't be looked at")
    return parse(result.stdout.decode(errors="replace"))


def parse(text: str) -> Stack:
    """What observe_look.sh printed, as a value. Raises CommandError for an answer that isn't one."""
    try:
        return _parse(text)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}", text) from None


def _parse(text: str) -> Stack:
    sections: dict[str, str] = {}
    for section in re.split(r"^@@", text, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        sections[name] = body.strip()
    components = {}
    for line in sections["containers"].splitlines():
        name, state, health, restarts, *_ = line.split()
        components[name] = Component(state, health, int(restarts), _answer(sections, f"ready_{name}")[0] == 200)
    errors = {
        (target["labels"]["job"], target["labels"]["instance"]): str(target["lastError"])
        for target in _json(sections, "targets").get("activeTargets", [])
    }
    lag = _series(sections, "lag")
    return Stack(
        components=dict(sorted(components.items())),
        targets_down=tuple(
            {**labels, "error": errors.get((labels.get("job", ""), labels.get("instance", "")), "")}
            for labels, _ in _series(sections, "down")
        ),
        agents_gone=tuple(labels for labels, _ in _series(sections, "gone")),
        rules_failing=(*_failing(sections, "rules"), *_failing(sections, "log_rules")),
        alerts=_alerts(sections),
        log_lag_seconds={labels.get("host", ""): value for labels, value in lag} if lag else None,
    )


def _answer(sections: Mapping[str, str], name: str) -> tuple[int, str]:
    """Status and body of an HTTP answer; 0 where there was none."""
    head, _, body = sections.get(name, "").partition("\r\n\r\n")
    words = head.split(maxsplit=2)
    return (int(words[1]), body) if len(words) > 1 and words[1].isdecimal() else (0, "")


def _json(sections: Mapping[str, str], name: str) -> dict[str, Any]:
    status, body = _answer(sections, name)
    if status != 200:
        return {}
    try:
        data: dict[str, Any] = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        raise _unreadable(name, body) from None
    return data


def _series(sections: Mapping[str, str], name: str) -> list[tuple[dict[str, str], float]]:
    return [
        ({key: value for key, value in series["metric"].items() if key != "__name__"}, float(series["value"][1]))
        for series in _json(sections, name).get("result", [])
    ]


def _failing(sections: Mapping[str, str], name: str) -> tuple[dict[str, str], ...]:
    return tuple(
        {"rule": str(rule["name"]), "group": str(group["name"]), "error": str(rule.get("lastError", ""))}
        for group in _json(sections, name).get("groups", [])
        for rule in group["rules"]
        if rule.get("health") == "err"
    )


def _alerts(sections: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    status, body = _answer(sections, "alerts")
    if status != 200:
        return ()
    try:
        return tuple(
            {
                **{str(key): str(value) for key, value in alert["labels"].items()},
                "summary": str(alert["annotations"].get("summary", "")),
                "since": str(alert["startsAt"]),
            }
            for alert in json.loads(body)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unreadable("alerts", body) from None


def _unreadable(name: str, body: str) -> CommandError:
    return CommandError("an answer of the monitoring stack can't be read", where=name, why=body[:200])
