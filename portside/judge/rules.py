"""What isn't a share of requests: readiness, saturation, error lines.

Gauges of one moment and the next depend on each other, so no test that assumes otherwise is made of them: a rule asks
for the same thing many looks in a row, and that the previous release didn't show it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from portside.judge.findings import Finding, State, by_chance
from portside.judge.looks import Lines, Look
from portside.judge.sequential import rate_bound, rate_evidence

# The proxy takes a container out after a second of failed checks; one that comes back within five is its business.
UNREADY_LOOKS = 5
SATURATED_LOOKS = 10
FULL = 0.95
# Requests that pile up: this many times what the previous release ever had under way while we looked, and more.
PILED = 4.0
PILED_MORE = 10.0
OLD_LOOKS = 2
# Error lines may come this much more often, and this often per second, before they are worse.
LINES_FACTOR = 3.0
LINES_PER_SECOND = 0.1

Looks = Sequence[Mapping[str, Look]]


def readiness(looks: Looks) -> list[Finding]:
    """A container of the new release that isn't ready, while the previous release beside it is."""
    recent = looks[-UNREADY_LOOKS:]
    if len(recent) < UNREADY_LOOKS:
        return []
    findings = []
    for host in recent[-1]:
        there = [look[host] for look in recent if host in look]
        for name in there[-1].new.containers if len(there) == UNREADY_LOOKS else ():
            unready = all(name in look.new.containers and not look.new.containers[name].ready for look in there)
            if unready and all(any(seen.ready for seen in look.old.containers.values()) for look in there):
                text = f"{name} has not been ready for {UNREADY_LOOKS} looks, while the previous release there is"
                findings.append(Finding("readiness", "worse", text, host))
    return findings


def saturation(before: Looks, looks: Looks) -> list[Finding]:
    """Database pools that stay full, requests that pile up (which no histogram shows before they end)."""
    return [finding for finding in (_pool(before, looks), _piled(before, looks)) if finding]


def _pool(before: Looks, looks: Looks) -> Finding | None:
    recent = looks[-SATURATED_LOOKS:]
    if len(recent) < SATURATED_LOOKS or len(before) < OLD_LOOKS:
        return None
    if any(_fullest([side.old.pool for side in look.values()]) >= FULL for look in before):
        return None
    lowest = min(_fullest([side.new.pool for side in look.values()]) for look in recent)
    if lowest < FULL:
        return None
    return Finding(
        "saturation",
        "worse",
        f"a database pool of the new release is full since {SATURATED_LOOKS} looks; before, none was",
    )


def _piled(before: Looks, looks: Looks) -> Finding | None:
    recent = looks[-SATURATED_LOOKS:]
    known = [value for look in before if (value := _total([side.old.in_flight for side in look.values()])) is not None]
    if len(recent) < SATURATED_LOOKS or len(known) < OLD_LOOKS:
        return None
    bound = PILED * max(known) + PILED_MORE
    lowest = min(_total([side.new.in_flight for side in look.values()]) or 0.0 for look in recent)
    if lowest <= bound:
        return None
    return Finding(
        "saturation",
        "worse",
        f"requests pile up: {lowest:,.0f} and more under way since {SATURATED_LOOKS} looks, "
        f"{max(known):,.0f} at most before",
    )


def error_lines(before: Lines | None, looks: Sequence[Lines], error: float) -> Finding:
    """Lines that say error, per second: Poisson, with the same two pieces as everything else (sequential.py)."""
    if before is None or not before.seconds:
        return Finding("error lines", "abstains", "error lines: the previous release's can't be counted")
    if not looks:
        return Finding("error lines", "abstains", "error lines: the new release's were not counted")
    total = sum(looks, Lines(0, 0.0))
    bound = max(LINES_FACTOR * rate_bound(before.count, before.seconds, error / 2), LINES_PER_SECOND)
    worst = max(looks, key=lambda look: look.count)
    kinder = Lines(total.count - worst.count, total.seconds - worst.seconds)
    least = min(rate_evidence(each.count, each.seconds, bound) for each in (total, kinder))
    state: State = "worse" if least >= math.log(2 / error) else "unclear"
    return Finding(
        "error lines",
        state,
        f"{_per_minute(total)} error lines a minute against {_per_minute(before)} before" + by_chance(state, error),
        brief=f"{_per_minute(total)} error lines a minute ({_per_minute(before)})",
    )


def _per_minute(lines: Lines) -> str:
    return f"{lines.count / lines.seconds * 60:.3g}" if lines.seconds else "0"


def _fullest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
