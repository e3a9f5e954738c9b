"""Requests by route: how many, how many failed, how long they took. And what to expect of them at another mix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from portside.config import Judge
from portside.judge.samples import Counters

RouteKey = tuple[str, ...]
# A route that the previous release answered less often than this says little by itself.
KNOWN_ROUTE = 100


@dataclass(frozen=True)
class Route:
    """`requests` and `failed` (5xx) by the counter; `answers` and `seconds` by the histogram.

    `longer` maps each bucket's edge in seconds to how many answers took longer.
    """

    requests: float = 0.0
    failed: float = 0.0
    answers: float = 0.0
    seconds: float = 0.0
    longer: Mapping[float, float] = field(default_factory=dict)

    def __add__(self, other: Route) -> Route:
        edges = self.longer.keys() | other.longer.keys()
        return Route(
            self.requests + other.requests,
            self.failed + other.failed,
            self.answers + other.answers,
            self.seconds + other.seconds,
            {edge: self.longer.get(edge, 0.0) + other.longer.get(edge, 0.0) for edge in edges},
        )


Routes = Mapping[RouteKey, Route]
EVERYTHING = Route()


def routes(counters: Counters, names: Judge) -> dict[RouteKey, Route]:
    """Fold counters by the labels that make a route. Where nothing counts requests, the histogram's count does."""
    count, total, bucket = (f"{names.duration}_{part}" for part in ("count", "sum", "bucket"))
    has_counter = any(name == names.requests for name, _ in counters)
    numbers: dict[RouteKey, list[float]] = {}
    within: dict[RouteKey, dict[float, float]] = {}
    for (name, labels), value in counters.items():
        of = dict(labels)
        key = tuple(of.get(label, "") for label in names.route)
        found = numbers.setdefault(key, [0.0, 0.0, 0.0, 0.0])
        if name == (names.requests if has_counter else count):
            found[0] += value
            if of.get(names.status, "").startswith("5"):
                found[1] += value
        if name == count:
            found[2] += value
        elif name == total:
            found[3] += value
        elif name == bucket and not math.isinf(edge := _edge(of.get("le", ""))):
            edges = within.setdefault(key, {})
            edges[edge] = edges.get(edge, 0.0) + value
    return {
        key: Route(
            requests=found[0],
            failed=found[1],
            answers=found[2],
            seconds=found[3],
            longer={edge: max(0.0, found[2] - value) for edge, value in within.get(key, {}).items()},
        )
        for key, found in numbers.items()
    }


def merged(many: Iterable[Routes]) -> dict[RouteKey, Route]:
    """The sum over containers, hosts or looks."""
    total: dict[RouteKey, Route] = {}
    for each in many:
        for key, route in each.items():
            total[key] = total[key] + route if key in total else route
    return total


def whole(of: Routes) -> Route:
    return sum(of.values(), EVERYTHING)


@dataclass(frozen=True)
class Share:
    """Which share of what: events among trials, as numbers of one route."""

    trials: Callable[[Route], float]
    events: Callable[[Route], float]


FAILED = Share(lambda route: route.requests, lambda route: route.failed)


def of_answers(events: Callable[[Route], float]) -> Share:
    return Share(lambda route: route.answers, events)


def longer_than(edge: float) -> Share:
    """Answers that took longer than a bucket's edge, in seconds: counted, not guessed."""
    return of_answers(lambda route: route.longer.get(edge, 0.0))


@dataclass(frozen=True)
class Expected:
    """A share that the previous release would have had at the new one's mix, and what that knowledge is worth.

    `trials` is how many requests of one kind would say as much.
    """

    share: float
    trials: float


def expected(old: Routes, mix: Mapping[RouteKey, float], of: Share) -> Expected:
    """Direct standardisation: each route's own share, weighted by how often the new release was asked for it.

    Routes that the previous release hardly knew count as all of its requests together.
    """
    all_trials = sum(map(of.trials, old.values()))
    weight = sum(mix.values())
    if not all_trials or not weight:
        return Expected(0.0, 0.0)
    total = Expected(sum(map(of.events, old.values())) / all_trials, all_trials)
    share, variance, unknown = 0.0, 0.0, 0.0
    for key, wanted in mix.items():
        there = of.trials(old[key]) if key in old else 0.0
        if there < KNOWN_ROUTE:
            unknown += wanted / weight
            continue
        share += wanted / weight * of.events(old[key]) / there
        variance += (wanted / weight) ** 2 / there
    if unknown:
        share += unknown * total.share
        variance += unknown**2 / total.trials
    return Expected(share, 1.0 / variance if variance else 0.0)


def typical(old: Routes, mix: Mapping[RouteKey, float]) -> Route:
    """One answer's worth of the previous release at another mix of its routes."""
    weight = sum(mix.values())
    seconds, longer = 0.0, dict[float, float]()
    for key, wanted in mix.items():
        route = old[key]
        part = wanted / weight / route.answers
        seconds += part * route.seconds
        for edge, count in route.longer.items():
            longer[edge] = longer.get(edge, 0.0) + part * count
    return Route(0.0, 0.0, 1.0, seconds, longer)


def common(old: Routes, new: Routes) -> tuple[dict[RouteKey, Route], dict[RouteKey, Route]]:
    """Both, with only the routes that the previous release knew well: a new route may take as long as it takes."""
    keys = {key for key in new if key in old and old[key].answers >= KNOWN_ROUTE}
    return {key: old[key] for key in keys}, {key: new[key] for key in keys}


def share_longer(route: Route, seconds: float) -> float:
    """Which share of answers took longer than `seconds`: between two edges a straight line over the logarithm."""
    if not route.answers or not route.longer:
        return 0.0
    edges = sorted(route.longer)
    if seconds in route.longer:
        return route.longer[seconds] / route.answers
    below = max((edge for edge in edges if edge < seconds), default=0.0)
    above = min((edge for edge in edges if edge > seconds), default=math.inf)
    high = (route.longer[below] if below else route.answers) / route.answers
    low = 0.0 if math.isinf(above) else route.longer[above] / route.answers
    if math.isinf(above):
        return high
    part = seconds / above if not below else math.log(seconds / below) / math.log(above / below)
    return high + (low - high) * part


def quantile(route: Route, share: float) -> float | None:
    """The time in seconds that `share` of the answers were faster than; None when it is beyond the last edge."""
    edges = sorted(route.longer)
    if not route.answers or not edges:
        return None
    below, high = 0.0, 1.0
    for edge in edges:
        low = route.longer[edge] / route.answers
        if low <= 1 - share:
            part = (high - (1 - share)) / (high - low) if high > low else 1.0
            return edge * part if not below else below * (edge / below) ** part
        below, high = edge, low
    return None


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf
