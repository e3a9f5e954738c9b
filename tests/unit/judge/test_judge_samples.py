"""Metrics read, subtracted and folded: restarts, dead workers, other services' names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from portside.config import Judge
from portside.judge.looks import parse_look
from portside.judge.requests import (
    FAILED,
    Route,
    common,
    expected,
    longer_than,
    merged,
    quantile,
    routes,
    share_longer,
    whole,
)
from portside.judge.samples import increase, sample
from tests.unit.judge.histograms import answered, metrics

NAMES = Judge()


def test_a_histogram_with_the_status_is_enough() -> None:
    registry = CollectorRegistry()
    took = Histogram("took_seconds", "Time.", ["code", "path"], registry=registry, buckets=(0.1, 1.0))
    took.labels("200", 'say "hi"\n').observe(0.05)
    took.labels("503", 'say "hi"\n').observe(0.5)
    names = Judge(duration="took_seconds", status="code", route=("path",))
    read = sample(generate_latest(registry).decode(), names)
    assert routes(read.counters, names) == {('say "hi"\n',): Route(2, 1, 2, 0.55, {0.1: 1, 1.0: 0})}


def test_what_is_not_metrics_is_no_metrics() -> None:
    for text in ("", "<html>not found</html>", "a{b} c\n{}\n} 1\n{ 2\nhttp_requests_total{ 1", "\x00\n\udcff 1"):
        assert not sample(text, NAMES).counts_requests


def test_numbers_that_are_none_count_as_none() -> None:
    text = 'http_requests_total{status="200"} NaN\nhttp_requests_total{status="500"} +Inf 1700000000\n'
    assert whole(routes(sample(text, NAMES).counters, NAMES)) == Route()


def test_pool_and_requests_under_way_are_summed_and_shared() -> None:
    read = sample(metrics({}, in_flight=7, in_use=9), NAMES)
    assert (read.in_flight, read.pool) == (7, 0.9)
    assert sample("http_requests_total 1\n", NAMES).pool is None


def test_a_counter_that_fell_began_anew() -> None:
    a, b = (("a", ()), ("b", ()))
    assert increase({a: 10.0, b: 5.0}, {a: 3.0, b: 8.0}) == {a: 3.0, b: 3.0}
    assert increase({}, {a: 2.0}) == {a: 2.0}, "a series that wasn't there counted from nothing"


def test_a_worker_s_death_counts_nothing_twice() -> None:
    """A service that forgets its dead workers shows less than before; one that keeps them shows more."""
    before, after = (sample(metrics({"/": answered(count)}), NAMES).counters for count in (100, 40))
    assert whole(routes(increase(before, after), NAMES)).requests == 40
    assert whole(routes(increase(after, before), NAMES)).requests == 60


def test_a_look_is_read_whatever_is_missing() -> None:
    text = (
        "@@container old links-blue-web-1 ready answered\n"
        + metrics({"/": answered(10)})
        + "@@container new links-green-web-1 unready silent\n"
        + "@@lines new 3 5.0\n@@container odd\n@@lines old - 5\n@@\nnonsense\n"
    )
    look = parse_look(text, NAMES)
    assert look.old.containers["links-blue-web-1"].ready
    assert look.new.containers["links-green-web-1"].sample is None
    assert not look.new.containers["links-green-web-1"].ready
    assert look.new.lines is not None and (look.new.lines.count, look.new.lines.seconds) == (3, 5.0)
    assert look.old.lines is None


PIECES = (
    "@@container new a ready answered\n",
    "@@lines old 3 1.5\n",
    "http_requests_total{",
    'status="500"',
    "} 1",
    "\n",
    "@@",
)


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=20)), max_size=12).map("".join))
def test_whatever_a_host_prints_is_a_look(text: str) -> None:
    """A container's metrics are written by whoever wrote the service; nothing in them may end a release."""
    look = parse_look(text, NAMES)
    for side in (look.old, look.new):
        assert whole(routes(increase({}, side.counters.get("a", {})), NAMES)).requests >= 0


def test_what_to_expect_is_what_the_new_mix_would_have_got() -> None:
    """A heavy route that is asked for more makes the whole slower, and that is nobody's fault."""
    old = {("light",): answered(9000, median=0.01), ("heavy",): answered(1000, median=1.0, failed=100)}
    mix = {("light",): 100.0, ("heavy",): 900.0}
    assert expected(old, mix, FAILED).share == pytest.approx(0.09)
    assert expected(old, mix, longer_than(0.5)).share > 0.7
    assert expected(old, mix, FAILED).trials < 1300, "no more is known of the heavy route than its thousand"


def test_a_route_that_was_hardly_known_counts_as_the_whole_service() -> None:
    old = {("a",): answered(10_000, failed=10), ("b",): answered(3, failed=3)}
    found = expected(old, {("b",): 50.0}, FAILED)
    assert found.share == pytest.approx(13 / 10_003)
    assert found.trials == pytest.approx(10_003)
    known, same = common(old, {("a",): answered(5), ("b",): answered(50), ("c",): answered(50)})
    assert known.keys() == same.keys() == {("a",)}


def test_nothing_is_expected_of_nothing() -> None:
    assert expected({}, {("a",): 1.0}, FAILED).trials == 0
    assert expected({("a",): answered(10)}, {}, FAILED).trials == 0


def test_quantiles_are_read_from_buckets() -> None:
    route = answered(10_000, median=0.08, spread=0.6)
    assert quantile(route, 0.5) == pytest.approx(0.08, rel=0.1)
    assert quantile(Route(), 0.5) is None
    assert quantile(answered(10, median=100.0), 0.5) is None
    assert share_longer(route, 0.1) == route.longer[0.1] / 10_000
    assert share_longer(route, 0.05) > share_longer(route, 0.07) > share_longer(route, 0.1)
    assert share_longer(route, 0.001) == pytest.approx(1.0, abs=0.01)
    assert share_longer(route, 99.0) == route.longer[30.0] / 10_000


def test_sums_over_containers_keep_every_route() -> None:
    total = merged([{("a",): answered(1)}, {("a",): answered(2), ("b",): answered(4)}])
    assert (total["a",].requests, total["b",].requests) == (3, 4)
