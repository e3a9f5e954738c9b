"""When the judge undoes, when it commits early, when it says that it can't tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from portside.config import Judge as Settings
from portside.judge.criteria import Baseline, Comparison, Record
from portside.judge.findings import Finding, Verdict
from portside.judge.judge import Judge
from portside.judge.looks import Lines, Look, Seen, Side
from portside.judge.requests import Route
from portside.judge.samples import Sample, sample
from tests.unit.judge.histograms import answered, metrics

LIFE = answered(200_000, failed=200)


class Watched:
    """A release at `hosts`, each with one container of either side, fed look by look."""

    def __init__(
        self, hosts: Sequence[str] = ("a",), old: Route = LIFE, *, warm: bool = False, **settings: Any
    ) -> None:
        self.settings = Settings(**settings)
        self.judge = Judge(self.settings, hosts, warm=warm)
        self.hosts = hosts
        self.old = old
        self.seconds = 0.0
        self.new = {host: Route() for host in hosts}

    def side(self, route: Route | None, lines: Lines | None = None, *, ready: bool = True, **gauges: Any) -> Side:
        said = sample(metrics({"/": route}, **gauges), self.settings) if route else None
        return Side({"web-1": Seen(said, ready)}, lines)

    def before(self, *increments: Route, lines: Lines | None = None, **gauges: Any) -> None:
        for route in increments or (answered(100), answered(100), answered(100)):
            self.old = self.old + route
            self.judge.before({host: Look(self.side(self.old, lines, **gauges), Side()) for host in self.hosts})

    def second(
        self,
        *,
        old_ready: bool = True,
        lines: Lines | None = None,
        ready: bool = True,
        gauges: Any = None,
        **new: Route,
    ) -> Verdict:
        self.seconds += 1
        for host, route in new.items():
            self.new[host] = self.new[host] + route
        looks = {
            host: Look(
                self.side(self.old, ready=old_ready), self.side(self.new[host], lines, ready=ready, **(gauges or {}))
            )
            for host in self.hosts
        }
        return self.judge.after(looks, self.seconds)

    def until(self, kind: str, seconds: int = 60, **new: Route) -> Verdict:
        """Feed the same second again and again; fails when the verdict doesn't come."""
        for _ in range(seconds):
            verdict = self.second(**new)
            if verdict.kind == kind:
                return verdict
        raise AssertionError(f"no {kind} in {seconds} s: {verdict.findings}")

    def state(self, criterion: str) -> Finding:
        return next(finding for finding in self.judge.findings() if finding.criterion == criterion)


def test_a_release_that_answers_only_500_is_undone_by_its_second_look() -> None:
    watched = Watched()
    watched.before()
    verdict = watched.until("undo", a=answered(50, failed=50))
    assert watched.seconds == 2
    assert "5xx ratio 100 % (100 of 100) against 0.1 % before" in verdict.reason
    assert "by chance in one of 4,000 releases at most" in verdict.reason


def test_it_is_undone_at_a_request_a_second_too() -> None:
    watched = Watched()
    watched.before()
    watched.until("undo", seconds=21, a=answered(1, failed=1))


@pytest.mark.parametrize(("share", "within"), [(0.5, 2), (0.05, 8), (0.01, 60)])
def test_the_more_it_fails_the_sooner_it_is_undone(share: float, within: int) -> None:
    watched = Watched()
    watched.before()
    watched.until("undo", seconds=within, a=answered(100, failed=100 * share))


def test_as_good_as_before_is_kept_and_said() -> None:
    watched = Watched()
    watched.before()
    for _ in range(60):
        assert watched.second(a=answered(100, failed=0.1)).kind == "wait"
    assert "judged by 6,000 requests in 60 s" in watched.judge.summary(60)
    assert "no worse; 5xx 0.1 % (before 0.1 %), p50 79.1 ms (79.1 ms)" in watched.judge.summary(60)


def test_one_bad_second_is_no_verdict() -> None:
    """Two hundred requests of one moment fail, for one cause; and then all is well."""
    watched = Watched()
    watched.before()
    for second in range(60):
        assert watched.second(a=answered(200, failed=200 if second == 10 else 0)).kind == "wait"


def test_too_little_traffic_is_said() -> None:
    watched = Watched()
    watched.before()
    for _ in range(10):
        assert watched.second(a=answered(1, failed=1)).kind == "wait"
    assert watched.state("5xx").state == "abstains"
    assert "5xx: 10 requests, a verdict needs 20" in watched.judge.summary(10)


def test_no_traffic_before_means_nothing_to_compare_with() -> None:
    watched = Watched(old=Route())
    watched.judge.before({"a": Look(watched.side(answered(0)), Side())})
    for _ in range(10):
        assert watched.second(a=answered(50, failed=50)).kind == "wait"
    assert "tells nothing in http_requests_total to compare with" in watched.judge.summary(10)


def test_a_service_without_metrics_is_kept_and_told_of() -> None:
    judge = Judge(Settings(), ("a",))
    nothing = Look(Side({"web-1": Seen(None, True)}), Side({"web-2": Seen(None, True)}))
    judge.before({"a": nothing})
    assert judge.after({"a": nothing}, 1).kind == "wait"
    (said,) = judge.summary(1).splitlines()
    assert said.startswith(
        "the judge abstains on requests: no metrics at /metrics (`path` under [judge] in portside.toml)"
    )
    assert "0 requests" not in said and "p50" not in said


def test_a_service_with_other_metrics_is_told_which_are_missing() -> None:
    judge = Judge(Settings(requests="hits_total"), ("a",))
    others = Look(Side({"web-1": Seen(Sample(), True)}), Side({"web-2": Seen(Sample(), True)}, Lines(0, 1.0)))
    judge.before({"a": Look(others.old, Side())})
    judge.after({"a": Look(Side(others.old.containers, Lines(0, 600.0)), others.new)}, 1)
    assert judge.summary(1).splitlines() == [
        "no worse in 1 s; 0 error lines a minute (0)",
        "the judge abstains on requests: /metrics has neither hits_total nor http_request_duration_seconds "
        "(`requests` and `duration` under [judge] in portside.toml)",
    ]


def test_metrics_of_no_requests_are_no_missing_metrics() -> None:
    """Many services count requests by labels, and show nothing before the first one."""
    watched = Watched()
    watched.before()
    watched.judge.after({"a": Look(Side(), Side({"web-1": Seen(Sample(), True)}))}, 1)
    assert "judged by 0 requests" in watched.judge.summary(1)


def test_nobody_told_anything() -> None:
    assert "abstains" in Judge(Settings(), ("a",)).summary(5)


def test_what_went_wrong_before_the_switch_is_not_the_new_release_s_fault() -> None:
    """The database fails every second request, for the old release and for the new."""
    watched = Watched()
    watched.before(*[answered(100, failed=50)] * 5)
    for _ in range(30):
        assert watched.second(a=answered(100, failed=50)).kind == "wait"


def test_a_release_that_fails_more_than_a_failing_one_is_undone_all_the_same() -> None:
    watched = Watched()
    watched.before(*[answered(100, failed=10)] * 10)
    watched.until("undo", seconds=10, a=answered(100, failed=60))


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_slower_by_less_than_what_is_allowed_is_kept(factor: float) -> None:
    watched = Watched()
    watched.before()
    for _ in range(60):
        assert watched.second(a=answered(100, median=0.08 * factor)).kind == "wait"


@pytest.mark.parametrize(("factor", "within"), [(2.0, 15), (4.0, 8)])
def test_slower_by_more_is_undone(factor: float, within: int) -> None:
    watched = Watched()
    watched.before()
    verdict = watched.until("undo", seconds=within, a=answered(100, median=0.08 * factor))
    assert "before" in verdict.reason and verdict.findings[1].state == "worse"


def test_a_bucket_s_edge_makes_nothing_slower() -> None:
    """All answers move from just below an edge to just above it: the histogram shows everything, the mean 4 %."""
    below, above = ({0.05: 0.0, 0.1: 0.0, 0.025: 100.0}, {0.05: 100.0, 0.1: 0.0, 0.025: 100.0})
    watched = Watched(old=Route(100_000, 0, 100_000, 4900, {edge: 1000 * share for edge, share in below.items()}))
    watched.before(Route(100, 0, 100, 4.9, below))
    for _ in range(40):
        assert watched.second(a=Route(100, 0, 100, 5.1, above)).kind == "wait"


def test_a_tail_that_grew_by_a_bucket_is_undone_though_the_median_stands() -> None:
    tail = Route(100, 0, 100, 100 * 0.1 + 5 * 2, answered(100).longer | dict.fromkeys((0.5, 0.75, 1.0), 5.0))
    watched = Watched()
    watched.before()
    verdict = watched.until("undo", a=tail)
    assert "p99" in verdict.reason


def test_a_tail_that_crowds_at_an_edge_is_no_longer_tail() -> None:
    """5 % take 245 ms, then 255 ms: one side of an edge and the other."""
    body = {0.1: 5.0, 0.05: 50.0}
    watched = Watched(old=Route(100_000, 0, 100_000, 5000, {0.05: 50_000, 0.1: 5000, 0.25: 0.0, 0.5: 0.0}))
    watched.before(Route(100, 0, 100, 5.0, body | {0.25: 0.0, 0.5: 0.0}))
    for _ in range(40):
        assert watched.second(a=Route(100, 0, 100, 5.05, body | {0.25: 5.0, 0.5: 0.0})).kind == "wait"


def test_milliseconds_that_nobody_notices_are_no_reason() -> None:
    watched = Watched(old=answered(200_000, median=0.002))
    watched.before(answered(100, median=0.002))
    for _ in range(40):
        assert watched.second(a=answered(100, median=0.005)).kind == "wait"


def test_the_first_seconds_of_a_process_are_slow_and_don_t_count() -> None:
    watched = Watched()
    watched.before()
    for second in range(20):
        assert watched.second(a=answered(100, median=1.0 if second < 3 else 0.08)).kind == "wait"


def test_another_mix_of_routes_is_no_slowdown() -> None:
    baseline = Baseline({("light",): answered(90_000, median=0.01), ("heavy",): answered(10_000, median=0.5)})
    comparison, record = Comparison(baseline, Settings(), 0.001), Record()
    for _ in range(60):
        record.add({("light",): answered(10, median=0.01), ("heavy",): answered(90, median=0.5)}, warm=True)
    assert {finding.state for finding in comparison.findings(record)} <= {"fine", "unclear"}


def test_one_host_of_three_is_enough() -> None:
    hosts = ("a", "b", "c")
    watched = Watched(hosts=hosts)
    watched.before()
    good = answered(500, failed=0.5)
    verdict = watched.until("undo", seconds=15, a=good, b=answered(500, failed=20), c=good)
    assert verdict.reason.endswith("on b")
    everywhere = Watched(hosts=hosts)
    everywhere.before()
    bad = answered(100, failed=50)
    assert " on " not in everywhere.until("undo", a=bad, b=bad, c=bad).reason


def test_clearly_good_is_committed_early_only_where_that_is_wanted() -> None:
    for early in (False, True):
        watched = Watched(early=early)
        watched.before()
        kinds = [watched.second(a=answered(200, failed=0.2)).kind for _ in range(40)]
        assert kinds[:9] == ["wait"] * 9, "not before it has been seen for a while"
        assert ("commit" in kinds) is early


def test_requests_that_pile_up_are_seen_though_no_histogram_has_them() -> None:
    watched = Watched()
    watched.before(in_flight=5)
    for second in range(30):
        verdict = watched.second(a=answered(0), gauges={"in_flight": 20 * second})
        if verdict.kind == "undo":
            break
    assert "requests pile up" in verdict.reason
    assert watched.seconds <= 13


def test_a_pool_that_was_full_before_is_nobody_s_news() -> None:
    full = {"in_use": 10}
    watched, known = Watched(), Watched()
    watched.before()
    known.before(**full)
    kinds = [
        (watched.second(a=answered(5), gauges=full).kind, known.second(a=answered(5), gauges=full).kind)
        for _ in range(12)
    ]
    assert ("undo", "wait") in kinds
    assert "undo" not in [kind for _, kind in kinds]


def test_readiness_that_fails_beside_a_ready_old_release_is_the_release_s() -> None:
    watched, shared = Watched(), Watched()
    for each in (watched, shared):
        each.before()
    for _ in range(5):
        alone = watched.second(ready=False)
        both = shared.second(ready=False, old_ready=False)
    assert alone.kind == "undo" and "has not been ready" in alone.reason
    assert both.kind == "wait", "what both depend on is gone"


def test_error_lines_far_above_what_was_usual_are_worse() -> None:
    watched = Watched()
    watched.before(lines=Lines(1, 600.0))
    for _ in range(10):
        verdict = watched.second(a=answered(5), lines=Lines(20, 5.0))
    assert verdict.kind == "undo" and "error lines a minute" in verdict.reason
    usual = Watched()
    usual.before(lines=Lines(600, 600.0))
    for _ in range(10):
        assert usual.second(a=answered(5), lines=Lines(6, 5.0)).kind == "wait"


def test_one_burst_of_error_lines_is_not() -> None:
    watched = Watched()
    watched.before(lines=Lines(1, 600.0))
    for second in range(10):
        assert watched.second(a=answered(5), lines=Lines(40 if second == 2 else 0, 5.0)).kind == "wait"


def test_a_warm_release_s_past_is_not_held_against_it() -> None:
    """A rollback to what still runs: what it counted in its first life was before this switch."""
    watched = Watched()
    past = answered(5000, failed=2500)
    watched.new["a"] = past
    for _ in range(3):
        watched.judge.before({"a": Look(watched.side(LIFE), watched.side(past))})
    for _ in range(20):
        assert watched.second(a=answered(100)).kind == "wait"


def canary(watched: Watched, seconds: int, old: Route, new: Route) -> Verdict:
    """Both get requests for so many seconds, or until there is a verdict."""
    watched.judge.begin(side_by_side=True)
    for _ in range(seconds):
        watched.old = watched.old + old
        verdict = watched.second(a=new)
        if verdict.kind != "wait":
            break
    return verdict


def test_what_fails_for_both_at_once_is_no_fault_of_a_canary() -> None:
    watched = Watched()
    watched.before()
    assert canary(watched, 40, answered(950, failed=190), answered(50, failed=10)).kind == "wait"


def test_a_canary_that_fails_beside_a_sound_release_is_undone() -> None:
    watched = Watched()
    watched.before()
    verdict = canary(watched, 10, answered(950, failed=1), answered(50, failed=50))
    assert verdict.kind == "undo"
    assert "5xx ratio 100 %" in verdict.reason


def test_the_stage_after_a_canary_is_judged_by_its_own_requests() -> None:
    watched = Watched()
    watched.before()
    canary(watched, 10, answered(950, failed=1), answered(50))
    watched.judge.begin(side_by_side=False)
    assert watched.second(a=answered(500)).kind == "wait"
    assert "judged by 500 requests" in watched.judge.summary(1)
    watched.until("undo", seconds=3, a=answered(500, failed=400))


def test_what_a_warm_release_had_counted_before_its_first_look_is_no_news() -> None:
    """A rollback to it switches before anybody has looked at it."""
    watched = Watched(warm=True)
    watched.before()
    watched.new["a"] = answered(1_000_000)
    assert watched.second(a=answered(100)).kind == "wait"
    verdict = watched.until("undo", 5, a=answered(100, failed=100))
    assert "5xx" in verdict.reason
