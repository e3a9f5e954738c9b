"""The statistics hold what they say, checked against exact binomial sums and against a million coins."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.judge.sequential import (
    FINE,
    divergence,
    evidence,
    rate_bound,
    rate_evidence,
    running_bound,
    upper_bound,
)


def at_most(events: int, trials: int, share: Fraction) -> Fraction:
    """P(X ≤ events), exactly."""
    return sum(
        (math.comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in range(events + 1)),
        Fraction(0),
    )


@pytest.mark.parametrize("trials", [1, 5, 20, 60])
@pytest.mark.parametrize("error", [0.05, 1e-4])
def test_the_bound_covers_at_every_small_count(trials: int, error: float) -> None:
    """A share above the bound would have shown so few events with probability `error` at most."""
    for events in range(trials):
        bound = upper_bound(events / trials, trials, error)
        assert at_most(events, trials, Fraction(bound).limit_denominator(10**6)) <= error * 1.001


def test_with_no_event_it_is_the_exact_bound() -> None:
    assert upper_bound(0.0, 20, 0.05) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_bound(0.0, 0, 0.05) == 1.0


@given(st.integers(1, 500), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_the_bound_is_never_below_what_was_seen(trials: int, share: float, error: float) -> None:
    assert share <= upper_bound(share, trials, error) <= 1.0


@pytest.mark.parametrize("bound", [0.003, 0.05, 0.4])
@pytest.mark.parametrize("trials", [1, 10, 40])
def test_at_the_bound_the_evidence_is_worth_one_in_expectation(bound: float, trials: int) -> None:
    mean = sum(
        math.comb(trials, events)
        * bound**events
        * (1 - bound) ** (trials - events)
        * math.exp(evidence(events, trials, bound))
        for events in range(trials + 1)
    )
    assert mean == pytest.approx(1.0)


def test_looking_after_every_request_deceives_no_more_often_than_promised() -> None:
    """600 services at the bound, 150 looks each: a test for one look would be deceived far more often than 5 %."""
    chance, bound, alpha = random.Random(7), 0.02, 0.05  # noqa: S311 - no secret
    crossed = 0
    for _ in range(600):
        events = 0
        for trials in range(1, 151):
            events += chance.random() < bound
            if evidence(events, trials, bound) >= math.log(1 / alpha):
                crossed += 1
                break
    assert crossed / 600 <= alpha
    assert crossed > 0, "a test that never crosses would pass too"


def test_evidence_of_being_fine_is_symmetric_in_what_it_promises() -> None:
    chance, bound, alpha = random.Random(8), 0.1, 0.05  # noqa: S311 - no secret
    crossed = 0
    for _ in range(600):
        events = 0
        for trials in range(1, 101):
            events += chance.random() < bound
            if evidence(events, trials, bound, FINE) >= math.log(1 / alpha):
                crossed += 1
                break
    assert 0 < crossed / 600 <= alpha


def test_only_failures_are_seen_within_a_handful_of_requests() -> None:
    bound = upper_bound(0.001, 10_000, 1e-4) + 0.002
    needed = next(count for count in range(1, 100) if evidence(count, count, bound) >= math.log(1e4))
    assert needed <= 4


def test_a_bound_that_is_looked_at_while_it_grows_holds_at_all_its_moments() -> None:
    chance, share, error = random.Random(9), 0.05, 0.05  # noqa: S311 - no secret
    missed = 0
    for _ in range(300):
        events = 0
        for trials in range(1, 121):
            events += chance.random() < share
            if trials % 10 == 0 and running_bound(events / trials, trials, error) < share:
                missed += 1
                break
    assert missed / 300 <= error
    assert running_bound(0.0, 0, error) == 1.0
    assert 0.001 < running_bound(0.001, 100_000, 1e-4) < 0.002, "not so far away that nothing is ever worse"


def test_a_rate_has_the_same_two_pieces() -> None:
    assert rate_bound(0, 100, 0.05) == pytest.approx(-math.log(0.05) / 100)
    assert math.isinf(rate_bound(3, 0, 0.05))
    bound, seconds = 0.1, 60.0
    mean = sum(
        math.exp(-bound * seconds + count * math.log(bound * seconds) - math.lgamma(count + 1))
        * math.exp(rate_evidence(count, seconds, bound))
        for count in range(60)
    )
    # The largest alternatives have their weight at counts that the sum doesn't reach.
    assert 0.2 < mean <= 1.0001


def test_coins_diverge_from_certainty_without_end() -> None:
    assert math.isinf(divergence(0.5, 1.0))
    assert math.isinf(divergence(0.5, 0.0))
    assert divergence(1.0, 1.0) == divergence(0.0, 0.0) == 0.0
