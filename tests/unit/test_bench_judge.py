"""The simulation that judges the judge: what it draws is what it says, and it finds what is known."""

from __future__ import annotations

import random
import statistics

import pytest

from bench import judge
from bench.judge import EARLY, KINDS, judged

BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture
def chance() -> random.Random:
    return random.Random(3)  # noqa: S311 - a simulation


@pytest.mark.parametrize("mean", [0.3, 20.0, 70.0, 5000.0])
def test_numbers_of_requests_are_poisson(mean: float, chance: random.Random) -> None:
    drawn = [judge.poisson(mean, chance) for _ in range(2000)]
    assert statistics.mean(drawn) == pytest.approx(mean, rel=0.06)
    assert statistics.variance(drawn) == pytest.approx(mean, rel=0.15)
    assert judge.poisson(0.0, chance) == 0


def test_buckets_hold_all_answers_and_their_mean(chance: random.Random) -> None:
    shares = judge._buckets(judge.MEDIAN, 0.05)
    assert sum(share for _, share, _, _ in shares) == pytest.approx(1.0, abs=1e-3)
    mean = sum(share * inside for _, share, inside, _ in shares)
    assert mean == pytest.approx(0.08 * 1.197 + 0.05 * judge.LATER, rel=0.01), "a log-normal's, and the late ones"


@pytest.mark.parametrize("name", ["all fail", "50 % fail"])
def test_an_outage_is_seen_in_three_seconds(name: str, chance: random.Random) -> None:
    for _ in range(5):
        second = judged(BY_NAME[name], 100, chance)
        assert second is not None and second <= 3


@pytest.mark.parametrize("name", ["as good as before", "as good, one second all fails", "20 % slower"])
def test_what_is_good_enough_is_kept(name: str, chance: random.Random) -> None:
    for _ in range(5):
        assert judged(BY_NAME[name], 100, chance) is None


def test_a_good_release_is_committed_early_at_a_thousand_requests_a_second(chance: random.Random) -> None:
    second = judged(EARLY, 1000, chance, "commit")
    assert second is not None and second >= 10
