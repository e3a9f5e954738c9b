"""Every panel shows something: its queries are asked of a real Prometheus that has seen a service under real load."""

from __future__ import annotations

import time

import pytest

from tests.lab.exported import exported
from tests.lab.notrun import NO_IMAGE
from tests.lab.pages import Query, marks, queries
from tests.lab.promql import metrics
from tests.lab.watched import Watched
from tests.lab.world import NEW, OLD, UNDONE, rules

pytestmark = pytest.mark.monitoring

RECORDED = {
    rule["record"]: rule["expr"] for gs in rules().values() for g in gs for rule in g["rules"] if "record" in rule
}


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.name)
def test_a_panel_is_not_empty(query: Query, watched: Watched) -> None:
    expr = query.filled()
    absent = {"loki"} - {"loki" if watched.loki else ""} if query.source == "loki" else unscraped(expr, watched)
    if absent:
        pytest.skip(f"{NO_IMAGE}: {', '.join(sorted(absent))}")
    if query.source == "loki":
        assert watched.logged(expr, instant=query.instant), expr
    else:
        assert watched.now(expr) if query.instant else watched.since_the_beginning(expr), expr


def unscraped(expr: str, watched: Watched) -> set[str]:
    """The jobs behind an expression that have no program here."""
    jobs = {exported()[name].job for name in asked(expr, watched) if name in exported()}
    return {job for job in jobs if not watched.is_scraped(job)}


def test_a_request_id_finds_its_lines(watched: Watched) -> None:
    if not watched.loki:
        pytest.skip(f"{NO_IMAGE}: loki")
    (lines,) = (query for query in queries() if query.name == "Logs: Lines A")
    routed = watched.logged(lines.filled(route="/links/\\\\{slug\\\\}", release=NEW), instant=False)
    assert {stream["stream"]["route"] for stream in routed} == {"/links/{slug}"}
    wanted = routed[0]["stream"]["request_id"]
    found = watched.logged(lines.filled(request_id=wanted), instant=False)
    assert {stream["stream"]["request_id"] for stream in found} == {wanted}
    by_text = watched.logged(lines.filled(text=wanted), instant=False)
    assert {wanted in line for stream in by_text for _, line in stream["values"]} == {True}


@pytest.mark.parametrize("query", list(marks()), ids=lambda query: query.name)
def test_marks_are_where_releases_were(query: Query, watched: Watched) -> None:
    found = watched.since_the_beginning(query.filled())
    assert {series["metric"]["release"] for series in found} in ({OLD, NEW}, {UNDONE})
    for series in found:
        assert {"service", "env", "release"} <= set(series["metric"])
        for _, value in series["values"]:
            # Grafana reads milliseconds.
            assert watched.begun - 1 < float(value) / 1000 < time.time()


def test_panels_show_what_happened(watched: Watched) -> None:
    """Not just any number: the load, the database that hung, and the undo are in it."""
    by_name = {query.name: query.filled() for query in queries()}
    rates = watched.since_the_beginning(by_name["Service: Requests by release A"])
    assert {series["metric"]["release"] for series in rates} == {OLD, NEW}
    failed = watched.since_the_beginning(by_name["Service: Errors by release A"])
    worst = {series["metric"]["release"]: max(float(value) for _, value in series["values"]) for series in failed}
    assert worst[OLD] < worst[NEW]
    (running,) = watched.now(by_name["Deploys: What runs where A"])
    assert running["metric"]["release"] == NEW and running["metric"]["kind"] == "deploy"
    (undone,) = watched.now(by_name["Deploys: Undone by themselves A"])
    assert undone["value"][1] == "1"
    (left,) = watched.now(by_name["Error budget: Availability budget left A"])
    assert float(left["value"][1]) < 1


def asked(expr: str, watched: Watched) -> set[str]:
    """The scraped metrics behind an expression, through the rules that record."""
    found: set[str] = set()
    for name in metrics(watched.parsed(expr)):
        found |= asked(RECORDED[name], watched) if name in RECORDED else {name}
    return found
