"""Failed requests and latency: the new release's against what the previous one lets us expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from portside.config import Judge
from portside.judge.findings import Finding, State, percent, time
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
    whole,
)
from portside.judge.sequential import FINE, divergence, evidence, upper_bound

# How sure "not worse than allowed" has to be before a release is committed early.
FINE_ERROR = 0.01
# What the last seconds before the switch must show, at least, to count as the service's state instead of its life.
RECENT_EVENTS = 2
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
    """`error` is the probability of a false "worse" that each criterion may spend; half on each of its two pieces."""

    baseline: Baseline
    settings: Judge
    error: float

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
            f"against {percent(before.share)} before{self._sure(state)}",
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
        mean_before = expected(old, mix, of_answers(lambda route: route.seconds)).share
        state = self._state(record.warm, longer_than(edge), total, bound, set(new))
        noticed = mean >= mean_before * factor and mean - mean_before >= self.settings.slower_ms / 1000
        if state == "worse" and not noticed:
            state = "unclear"
        return Finding(
            "p50",
            state,
            f"p50 {time(quantile(total, 0.5))} and mean {time(mean)} of {total.answers:,.0f} answers against "
            f"{time(quantile(self._as_asked(old, mix), 0.5))} and {time(mean_before)} before{self._sure(state)}",
        )

    def tail(self, record: Record) -> Finding:
        """Has the p99 moved up by a bucket, at least? Exact: no guess about what is inside a bucket."""
        old, new = common(self.baseline.life, record.warm_total)
        total = whole(new)
        abstains = self._abstains("p99", total.answers, self.baseline.whole.answers, self.settings.duration)
        if abstains:
            return abstains
        mix = {key: route.answers for key, route in new.items()}
        asked = self._as_asked(old, mix)
        edges = sorted(edge for edge in asked.longer if edge in total.longer)
        below = next((edge for edge in edges if asked.longer[edge] <= TAIL * asked.answers), None)
        far = (below or 0.0) * self._factor, (below or 0.0) + self.settings.slower_ms / 1000
        above = next((edge for edge in edges if edge >= max(far)), None)
        if below is None or above is None:
            return Finding("p99", "abstains", "p99: it was beyond the histogram's last buckets already")
        _, bound = self._bound(old, mix, longer_than(below))
        bound = max(bound, TAIL)
        state = self._state(record.warm, longer_than(above), total, bound, set(new))
        return Finding(
            "p99",
            state,
            f"p99 {time(quantile(total, 1 - TAIL))} ({percent(total.longer[above] / total.answers)} of "
            f"{total.answers:,.0f} answers took over {time(above)}) against {time(quantile(asked, 1 - TAIL))} "
            f"before{self._sure(state)}",
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
        bound = upper_bound(life.share, life.trials, self.error / 2)
        recent = expected(self.baseline.recent, mix, of)
        seen = sum(map(of.events, self.baseline.recent.values()))
        if seen >= RECENT_EVENTS and recent.share > bound:
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

    def _as_asked(self, old: Routes, mix: dict[RouteKey, float]) -> Route:
        """One answer's worth of the previous release at the new one's mix of routes."""
        edges = {edge for route in old.values() for edge in route.longer}
        mean = expected(old, mix, of_answers(lambda route: route.seconds)).share
        return Route(0.0, 0.0, 1.0, mean, {edge: expected(old, mix, longer_than(edge)).share for edge in edges})

    def _sure(self, state: State) -> str:
        return f": p < {self.error:.1g}" if state == "worse" else ""


def _counts(look: Routes, of: Share, among: set[RouteKey] | None) -> tuple[float, float]:
    chosen = [route for key, route in look.items() if among is None or key in among]
    return sum(map(of.events, chosen)), sum(map(of.trials, chosen))
