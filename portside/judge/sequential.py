"""The statistics: tests that hold at any number of requests, and however often one looks.

Two pieces, each without an approximation by a normal distribution:

- What a share can be at most, from few observations: Chernoff's bound, P(X ≤ x) ≤ exp(−n·KL(x/n ‖ p)) for p ≥ x/n
  (Chernoff 1952; with x = 0 it is the exact binomial bound).
- Evidence that grows with every request: a likelihood ratio of "above the bound" to "at the bound", averaged over a
  grid of alternatives. At or below the bound its expectation is at most 1 at every moment, so by Ville's inequality it
  ever exceeds 1/α with probability α at most, for all looks together (Robbins 1970; Ramdas et al., "Game-theoretic
  statistics and safe anytime-valid inference", 2023).

Counts may be fractions: a standardised baseline is worth no whole number of requests.
"""

from __future__ import annotations

import math

# Alternatives, as factors on the odds of a failure (on the rate, for Poisson): from half as much again to certainty.
WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0)
FINE = (0.67, 0.5, 0.33, 0.1, 0.01)
BISECTIONS = 32
TINY = 1e-9


def upper_bound(share: float, trials: float, error: float) -> float:
    """The smallest p for which `share` of `trials` or less happens with probability `error` at most; 1 of no trials."""
    if trials <= 0:
        return 1.0
    allowed = math.log(1 / error) / trials
    low, high = share, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if divergence(share, middle) < allowed:
            low = middle
        else:
            high = middle
    return high


def running_bound(share: float, trials: float, error: float) -> float:
    """As `upper_bound`, for all moments of a count that is looked at while it grows."""
    needed = math.log(1 / error)
    low, high = share, 1.0 - 1e-6
    if trials <= 0 or evidence(share * trials, trials, high, FINE) < needed:
        return 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if evidence(share * trials, trials, middle, FINE) < needed:
            low = middle
        else:
            high = middle
    return high


def divergence(share: float, other: float) -> float:
    """KL(share ‖ other) of two coins, in nats."""
    if other >= 1.0:
        return 0.0 if share >= 1.0 else math.inf
    if other <= 0.0:
        return 0.0 if share <= 0.0 else math.inf
    first = share * math.log(share / other) if share > 0 else 0.0
    second = (1 - share) * math.log((1 - share) / (1 - other)) if share < 1 else 0.0
    return first + second


def evidence(events: float, trials: float, bound: float, factors: tuple[float, ...] = WORSE) -> float:
    """The logarithm of the evidence that events are more (with FINE: less) frequent than `bound`, a probability."""
    if bound >= 1 - TINY or trials <= 0:
        return 0.0
    bound = max(bound, TINY)
    odds = bound / (1 - bound)
    terms = []
    for factor in factors:
        chance = odds * factor / (1 + odds * factor)
        terms.append(events * math.log(chance / bound) + (trials - events) * math.log((1 - chance) / (1 - bound)))
    return _average(terms)


def rate_bound(events: float, seconds: float, error: float) -> float:
    """As `upper_bound`, for events per second (Poisson)."""
    if seconds <= 0:
        return math.inf
    allowed = math.log(1 / error)
    low, high = events, events + 2 * allowed + 2 * math.sqrt(2 * allowed * (events + allowed)) + 1
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        far = middle - events + (events * math.log(events / middle) if events else 0.0)
        if far < allowed:
            low = middle
        else:
            high = middle
    return high / seconds


def rate_evidence(events: float, seconds: float, bound: float) -> float:
    """As `evidence`, for events per second."""
    if math.isinf(bound) or seconds <= 0:
        return 0.0
    bound = max(bound, TINY)
    return _average([events * math.log(factor) - (factor - 1) * bound * seconds for factor in WORSE])


def _average(terms: list[float]) -> float:
    """log of the mean of exp(terms)."""
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms) / len(terms))
