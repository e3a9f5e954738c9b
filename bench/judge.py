"""Thousands of simulated releases before the judge: how many good ones it undoes, how soon it undoes bad ones.

A simulation and not hosts: what is measured is the reasoning, and a hundred real hosts would take a week for it. The
traffic is Poisson, latencies are log-normal, counted in the service's own buckets; the judge's code is the real one.
"""

from __future__ import annotations

import math
import os
import random
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from portside.config import Judge
from portside.judge.criteria import Baseline, Comparison, Record
from portside.judge.findings import concluded
from portside.judge.judge import CRITERIA, EARLY_SECONDS
from portside.judge.requests import Route, Routes, merged

# Each threshold that the service has (app/request_metrics.py), and a last one for the rest.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)
BAKE = 60
LIFE = 3600.0
RECENT = 5.0
USUAL_FAILED = 0.001
MEDIAN, SPREAD = 0.08, 0.6
# What a time-out of a dependency adds to some answers, in seconds.
LATER = 2.0
RATES = (1, 10, 100, 1000)
# How many of each kind: the plain good ones, the good ones with something beside it, the bad ones.
PLAIN, GOOD, BAD = 1000, 300, 150
# Above this mean a Poisson number is drawn as a sum of smaller ones.
SMALL = 30.0
STEPS = 60


@dataclass(frozen=True)
class Kind:
    """One kind of release: how much slower, how often it fails, what else happens. `good`: it must not be undone.

    `sick` is a share that fails whatever the release, `canary` the share of requests that the new release gets.
    """

    name: str
    slower: float = 1.0
    failed: float = USUAL_FAILED
    good: bool = False
    tail: float = 0.0
    burst: bool = False
    other_mix: bool = False
    sick: float = 0.0
    sick_from_now: float = 0.0
    canary: float = 0.0
    early: bool = False
    allowed: float = Judge().slower


KINDS = (
    Kind("as good as before", good=True),
    Kind("as good, one second all fails", good=True, burst=True),
    Kind("as good, other mix of routes", good=True, other_mix=True),
    Kind("as good, the database fails 20 % before and after", good=True, sick=0.2),
    Kind("20 % slower", slower=1.2, good=True),
    Kind("50 % slower", slower=1.5, good=True),
    Kind("100 % slower", slower=2.0),
    Kind("5 % take 2 s longer", tail=0.05),
    Kind("50 % slower, slower = 25", slower=1.5, allowed=25.0),
    Kind("20 % slower, slower = 10", slower=1.2, allowed=10.0),
    Kind("0.5 % fail", failed=0.005),
    Kind("1 % fail", failed=0.01),
    Kind("5 % fail", failed=0.05),
    Kind("50 % fail", failed=0.5),
    Kind("all fail", failed=1.0),
    Kind("as good, the database fails 20 % from the switch on", good=True, sick_from_now=0.2),
    Kind("the same, canary of 5 %", good=True, sick_from_now=0.2, canary=0.05),
    Kind("as good as before, canary of 5 %", good=True, canary=0.05),
    Kind("5 % fail, canary of 5 %", failed=0.05, canary=0.05),
    Kind("all fail, canary of 5 %", failed=1.0, canary=0.05),
)
EARLY = Kind("as good as before, early = true", good=True, early=True)


@dataclass(frozen=True)
class Cell:
    """What came of `releases` of one kind at one rate. Seconds are from the switch to the verdict."""

    kind: str
    rate: int
    releases: int
    ended: int
    median: float | None
    slowest: float | None


def measure_judge(say: Callable[[str], None]) -> list[Cell]:
    """Judge all kinds at all rates, a process per core. The seed is fixed: two runs find the same."""
    jobs = [(kind, rate, _count(kind)) for rate in reversed(RATES) for kind in (*KINDS, EARLY)]
    say(f"judging {sum(count for _, _, count in jobs):,} releases, simulated …")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(_cell, *zip(*jobs, strict=True)))


def _count(kind: Kind) -> int:
    if kind is KINDS[0]:
        return PLAIN
    return GOOD if kind.good else BAD


def _cell(kind: Kind, rate: int, count: int) -> Cell:
    chance = random.Random(f"{kind.name} {rate}")  # noqa: S311 - a simulation
    wanted = "commit" if kind.early else "undo"
    seconds = [second for _ in range(count) if (second := judged(kind, rate, chance, wanted)) is not None]
    ordered = sorted(seconds)
    return Cell(
        kind.name,
        rate,
        count,
        len(seconds),
        statistics.median(ordered) if ordered else None,
        ordered[math.ceil(len(ordered) * 0.95) - 1] if ordered else None,
    )


def judged(kind: Kind, rate: float, chance: random.Random, wanted: str = "undo") -> int | None:
    """One release: the second in which the verdict was `wanted`, None when it wasn't."""
    settings = Judge(early=kind.early, slower=kind.allowed)
    old = _release(Kind("old", failed=USUAL_FAILED), rate * (1 - kind.canary))
    recent = old.during(RECENT, chance, failed=kind.sick or None)
    before = Baseline(merged((old.during(LIFE, chance), recent)), recent)
    # A canary has two stages, and each of them half of the probability of an error.
    error = settings.significance / CRITERIA / (2 if kind.canary else 1)
    comparison = Comparison(before, settings, error, side_by_side=bool(kind.canary))
    sick = kind.sick or kind.sick_from_now
    record, new = Record(), _release(replace(kind, failed=max(kind.failed, sick)), rate * (kind.canary or 1.0))
    burst = chance.randrange(BAKE) if kind.burst else None
    beside: Routes = {}
    for second in range(BAKE):
        record.add(new.during(1.0, chance, failed=1.0 if second == burst else None), warm=second >= settings.warm_up)
        if kind.canary:
            beside = merged((beside, old.during(1.0, chance, failed=sick or None)))
            comparison = replace(comparison, baseline=Baseline(beside))
        early = kind.early and second + 1 >= EARLY_SECONDS
        if concluded(comparison.findings(record), early=early).kind == wanted:
            return second + 1
    return None


@dataclass(frozen=True)
class Traffic:
    """Requests of one release: per route its rate, its share of failures, and a distribution over buckets."""

    routes: tuple[tuple[str, float, float, tuple[tuple[float, float, float, float], ...]], ...]

    def during(self, seconds: float, chance: random.Random, *, failed: float | None = None) -> Routes:
        return {(name,): self._route(part, seconds, chance, failed) for name, *part in self.routes}

    @staticmethod
    def _route(part: list[Any], seconds: float, chance: random.Random, failed: float | None) -> Route:
        rate, usual, buckets = part
        share = usual if failed is None else failed
        count, total, longer = 0, 0.0, {}
        # From the last bucket down, so that what took longer than an edge is counted already.
        for edge, of_all, mean, deviation in buckets:
            longer[edge] = float(count)
            here = poisson(rate * seconds * of_all, chance)
            count += here
            total += here * mean + (chance.gauss(0, deviation * math.sqrt(here)) if here else 0.0)
        longer.pop(math.inf)
        wrong = _binomial(count, share, chance)
        return Route(count, wrong, count, max(total, 0.0), longer)


@cache
def _release(kind: Kind, rate: float) -> Traffic:
    fast = _buckets(MEDIAN * kind.slower, kind.tail)
    if kind.name == "old" or kind.other_mix:
        # What is rare at other hours, and five times as slow, is asked for most of the time now.
        slow = _buckets(MEDIAN * 5, 0.0)
        share = 0.7 if kind.other_mix else 0.1
        return Traffic((("a", rate * (1 - share), kind.failed, fast), ("b", rate * share, kind.failed, slow)))
    slow = _buckets(MEDIAN * 5 * kind.slower, kind.tail)
    return Traffic((("a", rate * 0.9, kind.failed, fast), ("b", rate * 0.1, kind.failed, slow)))


@cache
def _buckets(median: float, tail: float) -> tuple[tuple[float, float, float, float], ...]:
    """From the last to the first: edge, share of all, mean and deviation inside."""
    found = []
    for low, high in pairwise((1e-6, *EDGES, math.inf)):
        share, mean, square = 0.0, 0.0, 0.0
        for weight, later in ((1 - tail, 0.0), (tail, LATER)):
            for part, seconds in _pieces(low, high, median, later):
                share += weight * part
                mean += weight * part * seconds
                square += weight * part * seconds**2
        inside = mean / share if share else 0.0
        variance = square / share - inside**2 if share else 0.0
        found.append((high, share, inside, math.sqrt(max(0.0, variance))))
    return tuple(reversed(found))


def _pieces(low: float, high: float, median: float, later: float) -> Iterator[tuple[float, float]]:
    """A bucket cut into pieces: the share of a log-normal, `later` seconds on, in each, and the time in its middle."""
    top = min(high, 300.0)
    for step in range(STEPS):
        one, two = (low * (top / low) ** ((step + part) / STEPS) for part in (0, 1))
        share = _below(two - later, median) - _below(one - later, median)
        yield share, math.sqrt(one * two)


def _below(seconds: float, median: float) -> float:
    if seconds <= 0:
        return 0.0
    return 0.5 * math.erfc(-math.log(seconds / median) / SPREAD / math.sqrt(2))


def poisson(mean: float, chance: random.Random) -> int:
    """Knuth's method; a large mean is a sum of small ones. From a thousand on, a rounded normal is as good."""
    if mean <= 0:
        return 0
    if mean > 1000:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    if mean > SMALL:
        half = mean / 2
        return poisson(half, chance) + poisson(half, chance)
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count


def _binomial(trials: int, share: float, chance: random.Random) -> int:
    if share <= 0 or share >= 1:
        return trials if share >= 1 else 0
    if trials > 1000:
        return min(trials, max(0, round(chance.gauss(trials * share, math.sqrt(trials * share * (1 - share))))))
    return sum(chance.random() < share for _ in range(trials))


def as_dict(cells: list[Cell]) -> list[dict[str, Any]]:
    return [vars(cell) for cell in cells]


def rendered(cells: list[Cell]) -> RenderableType:
    """A row for each kind, a column for each rate: how many were undone, and after how many seconds."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for rate in RATES:
        table.add_column(f"{rate:,} a second", justify="right")
    for kind in (*KINDS, EARLY):
        mine = {cell.rate: cell for cell in cells if cell.kind == kind.name}
        table.add_row(kind.name, *(_shown(mine[rate]) for rate in RATES))
    return table


def _shown(cell: Cell) -> str:
    if not cell.ended:
        return f"0 of {cell.releases:,}"
    return f"{100 * cell.ended / cell.releases:.3g} %: {cell.median:.0f} s ({cell.slowest:.0f} s)"
