"""Failed requests and latency: the new release's against what the previous one lets us expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from portside.config import Judge
from portside.judge.findings import Finding, State, by_chance, percent, time
from portside.judge.requests import (
    FAILED,
    Expected,
    Route,
    RouteKey,
    Routes,
    Share,
    common,
    expected,
    longer_than,
    merged,
    of_answers,
    quantile,
    share_longer,
    typical,
    whole,
)
from portside.judge.sequential import FINE, divergence, evidence, running_bound, upper_bound

# How sure "not worse than allowed" has to be before a release is committed early.
FINE_ERROR = 0.01
# The last seconds before the switch stand for the service instead of its life when chance makes them so bad in one
# of this many releases.
SICK_ERROR = 0.1
# The slowdown that the median's bucket is chosen to show best, beyond the one that is allowed.
SOUGHT = 1.5
TAIL = 0.01


@dataclass(frozen=True)
class Baseline:
    """The previous release: all it answered since its containers started, and what it did just before the switch."""

    life: Routes
    recent: Routes = field(default_factory=dict)

    @cached_property
    def whole(self) -> Route:
        return whole(self.life)


@dataclass
class Record:
    """The new release since the switch: what each look added. `warm` leaves out the first seconds, for latency."""

    looks: list[Routes] = field(default_factory=list)
    warm: list[Routes] = field(default_factory=list)
    total: Routes = field(default_factory=dict)
    warm_total: Routes = field(default_factory=dict)

    def add(self, routes: Routes, *, warm: bool) -> None:
        self.looks.append(routes)
        self.total = merged((self.total, routes))
        if warm:
            self.warm.append(routes)
            self.warm_total = merged((self.warm_total, routes))


@dataclass(frozen=True)
class Comparison:
    """`error` is the probability of a false "worse" that each criterion may spend; half on each of its two pieces.

    `side_by_side`: the baseline is of the same seconds, and grows with every look.
    """

    baseline: Baseline
    settings: Judge
    error: float
    side_by_side: bool = False

    def findings(self, record: Record) -> list[Finding]:
        return [self.errors(record), self.middle(record), self.tail(record)]

    def errors(self, record: Record) -> Finding:
        """Is the share of 5xx higher than before by more than `errors` percentage points?"""
        total = whole(record.total)
        abstains = self._abstains("5xx", total.requests, self.baseline.whole.requests, self.settings.requests)
        if abstains:
            return abstains
        mix = {key: route.requests for key, route in record.total.items()}
        before, bound = self._bound(self.baseline.life, mix, FAILED)
        bound = min(1.0, bound + self.settings.errors / 100)
        state = self._state(record.looks, FAILED, total, bound)
        return Finding(
            "5xx",
            state,
            f"5xx ratio {percent(total.failed / total.requests)} ({total.failed:,.0f} of {total.requests:,.0f}) "
            f"against {percent(before.share)} before{by_chance(state, self.error)}",
            brief=f"5xx {percent(total.failed / total.requests)} (before {percent(before.share)})",
        )

    def middle(self, record: Record) -> Finding:
        """Are answers slower than before by more than `slower` per cent and `slower_ms`? See docs/judge.md."""
        old, new = common(self.baseline.life, record.warm_total)
        total = whole(new)
        abstains = self._abstains("p50", total.answers, self.baseline.whole.answers, self.settings.duration)
        if abstains:
            return abstains
        mix = {key: route.answers for key, route in new.items()}
        edge, factor = self._edge, self._factor
        if edge is None or edge not in total.longer:
            return Finding("p50", "abstains", "latency: the two releases' histograms have no bucket in common")
        _, bound = self._bound(old, mix, of_answers(lambda route: route.answers * share_longer(route, edge / factor)))
        mean = total.seconds / total.answers
        before = typical(old, mix)
        state = self._state(record.warm, longer_than(edge), total, bound, set(new))
        noticed = mean >= before.seconds * factor and mean - before.seconds >= self.settings.slower_ms / 1000
        if state == "worse" and not noticed:
            state = "unclear"
        return Finding(
            "p50",
            state,
            f"p50 {time(quantile(total, 0.5))} and mean {time(mean)} of {total.answers:,.0f} answers against "
            f"{time(quantile(before, 0.5))} and {time(before.seconds)} before{by_chance(state, self.error)}",
            brief=f"p50 {time(quantile(total, 0.5))} ({time(quantile(before, 0.5))})",
        )

    def tail(self, record: Record) -> Finding:
        """Have more than 1 % become slower than what 99 % were faster than, and by as much as `slower`?"""
        old, new = common(self.baseline.life, record.warm_total)
        total = whole(new)
        abstains = self._abstains("p99", total.answers, self.baseline.whole.answers, self.settings.duration)
        if abstains:
            return abstains
        mix = {key: route.answers for key, route in new.items()}
        before, factor = typical(old, mix), self._factor
        moved = 1 - 1 / factor
        edges = sorted(edge for edge in before.longer if edge in total.longer)
        far = (edge for edge in edges if before.longer[edge] <= TAIL and edge * moved >= self.settings.slower_ms / 1000)
        edge = next(far, None)
        if edge is None:
            return Finding("p99", "abstains", "p99: it was beyond the histogram's last bucket already")
        _, bound = self._bound(old, mix, of_answers(lambda route: route.answers * share_longer(route, edge / factor)))
        state = self._state(record.warm, longer_than(edge), total, max(bound, TAIL), set(new))
        share = total.longer[edge] / total.answers
        # Answers from below edge / factor have added this much to the mean; those from just below the edge, nothing.
        added = (share - before.longer[edge]) * edge * moved
        if state == "worse" and total.seconds / total.answers - before.seconds < added:
            state = "unclear"
        return Finding(
            "p99",
            state,
            f"p99 {time(quantile(total, 1 - TAIL))} ({percent(share)} of {total.answers:,.0f} answers took over "
            f"{time(edge)}) against {time(quantile(before, 1 - TAIL))} ({percent(before.longer[edge])}) "
            f"before{by_chance(state, self.error)}",
            brief=f"p99 {time(quantile(total, 1 - TAIL))} ({time(quantile(before, 1 - TAIL))})",
        )

    @property
    def _factor(self) -> float:
        return 1 + self.settings.slower / 100

    @cached_property
    def _edge(self) -> float | None:
        """The bucket in which a slowdown beyond what is allowed would show best, by the previous release alone."""
        old = self.baseline.whole
        best, found = 0.0, None
        for edge in sorted(old.longer):
            allowed = share_longer(old, edge / self._factor)
            sought = share_longer(old, edge / self._factor / SOUGHT)
            gain = divergence(sought, allowed) if 0 < allowed < 1 else 0.0
            if gain > best:
                best, found = gain, edge
        return found

    def _abstains(self, criterion: str, new: float, old: float, metric: str) -> Finding | None:
        minimum = self.settings.minimum
        if new < minimum:
            known = "" if criterion == "5xx" else " on routes that the previous release knew well"
            return Finding(criterion, "abstains", f"{criterion}: {new:,.0f} requests{known}, a verdict needs {minimum}")
        if old <= 0:
            text = f"{criterion}: the previous release tells nothing in {metric} to compare with"
            return Finding(criterion, "abstains", text)
        return None

    def _bound(self, old: Routes, mix: dict[RouteKey, float], of: Share) -> tuple[Expected, float]:
        """What the previous release would have shown, and what it can have been at most.

        By its whole life, unless it was doing worse than that just before the switch: then by those seconds. Whatever
        made it worse, a database for instance, isn't the new release's doing.
        """
        life = expected(old, mix, of)
        at_most = running_bound if self.side_by_side else upper_bound
        bound = at_most(life.share, life.trials, self.error / 2)
        recent = expected(self.baseline.recent, mix, of)
        if recent.share > bound and recent.trials * divergence(recent.share, bound) >= math.log(1 / SICK_ERROR):
            return recent, upper_bound(recent.share, recent.trials, self.error / 2)
        return life, bound

    def _state(
        self,
        looks: Sequence[Routes],
        of: Share,
        total: Route,
        bound: float,
        among: set[RouteKey] | None = None,
    ) -> State:
        """Worse only when it stays so without its worst look: requests that fail in one moment share one cause."""
        threshold = math.log(2 / self.error)
        seen, tried = of.events(total), of.trials(total)
        if evidence(seen, tried, bound) >= threshold:
            per_look = [_counts(look, of, among) for look in looks]
            worst = max(per_look, key=lambda counts: counts[0])
            if evidence(seen - worst[0], tried - worst[1], bound) >= threshold:
                return "worse"
        return "fine" if evidence(seen, tried, bound, FINE) >= math.log(1 / FINE_ERROR) else "unclear"


def _counts(look: Routes, of: Share, among: set[RouteKey] | None) -> tuple[float, float]:
    chosen = [route for key, route in look.items() if among is None or key in among]
    return sum(map(of.events, chosen)), sum(map(of.trials, chosen))
