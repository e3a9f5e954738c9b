"""Rules and dashboards name nothing that isn't there: each metric and label is compared with real scrapes.

What only cAdvisor, Loki or Alloy export is compared with a list of their names (exported.txt), and said to be not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from portside.observe.look import GONE, LAG
from tests.lab.exported import exported
from tests.lab.notrun import NO_IMAGE
from tests.lab.pages import Query, choices, marks, queries
from tests.lab.promql import WrongError, labels, metrics
from tests.lab.watched import Watched
from tests.lab.world import HOST, OBSERVABILITY, rules

pytestmark = pytest.mark.monitoring

CENTRAL = {"prometheus", "alertmanager", "grafana", "loki", "ingest"}
# What a rule's texts may name besides labels of its expression: labels that the rule itself sets.
NAMED = re.compile(r"\$labels\.(\w+)")

PROMQL = [query for query in (*queries(), *marks()) if query.source == "prometheus"]
RULES = [
    (rule.get("alert") or rule["record"], rule) for groups in rules().values() for g in groups for rule in g["rules"]
]
LISTED = ("cadvisor", "alloy", "loki")
# Only the site of a Swarm has it, and none is watched here (tests/unit/test_markers.py says which has).
OF_A_SWARM = {"probe_success": {"orchestrator"}}


class Catalogue:
    """What there is: metrics of real scrapes, of rules, and of the list."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._listed = exported()
        self._recorded = {name: rule for name, rule in RULES if "record" in rule}
        self.labels = cache(self._labels)

    def of_rule(self, rule: Mapping[str, Any]) -> frozenset[str]:
        return labels(self._watched.parsed(rule["expr"]), self.labels) | set(rule.get("labels", {}))

    def _labels(self, metric: str) -> frozenset[str] | None:
        if metric in self._recorded:
            return self.of_rule(self._recorded[metric])
        if there := self._watched.labels_of(metric):
            return there | OF_A_SWARM.get(metric, set())
        listed = self._listed.get(metric)
        return listed.labels if listed else None


@pytest.fixture(scope="module")
def catalogue(watched: Watched) -> Catalogue:
    return Catalogue(watched)


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=[name for name, _ in RULES])
def test_a_rule_names_only_what_is_there(rule: dict[str, Any], catalogue: Catalogue) -> None:
    there = catalogue.of_rule(rule)
    for text in rule.get("annotations", {}).values():
        missing = set(NAMED.findall(text)) - there
        assert not missing, f"{text}: the alert has no label {', '.join(missing)}"


@pytest.mark.parametrize("query", PROMQL, ids=lambda query: query.name)
def test_a_dashboard_names_only_what_is_there(query: Query, catalogue: Catalogue, watched: Watched) -> None:
    labels(watched.parsed(query.filled()), catalogue.labels)


@pytest.mark.parametrize(("name", "series", "label"), list(choices()), ids=[choice[0] for choice in choices()])
def test_a_choice_is_between_values_that_are_there(name: str, series: str, label: str, watched: Watched) -> None:
    selector = Query(name, "prometheus", series, True).filled()
    assert watched.ask(f"label/{label}/values", **{"match[]": selector, "start": watched.begun})


@pytest.mark.parametrize("expr", [GONE, LAG])
def test_the_status_command_asks_for_what_is_there(expr: str, catalogue: Catalogue, watched: Watched) -> None:
    labels(watched.parsed(expr), catalogue.labels)


def test_whatever_an_agent_sends_says_of_which_host_and_environment_it_is(watched: Watched) -> None:
    jobs = "|".join(CENTRAL)
    stray = watched.now(f'count by (job, host, __name__) ({{job!="",job!~"{jobs}",host!="{HOST}"}})')
    assert [series["metric"] for series in stray] == []
    assert watched.now(f'{{job!="",job!~"{jobs}",env=""}}') == []


def test_every_job_with_a_program_here_is_scraped(watched: Watched) -> None:
    files = ("prometheus/prometheus.yml", "agent/prometheus-agent.yml")
    jobs = {job["job_name"] for f in files for job in yaml.safe_load((OBSERVABILITY / f).read_text())["scrape_configs"]}
    assert {job for job in jobs if not watched.is_scraped(job)} <= {*LISTED, "grafana", "ingest"}


@pytest.mark.parametrize("job", LISTED)
def test_what_is_only_compared_with_a_list_is_said(job: str, watched: Watched) -> None:
    wanted = {name for name in asked(watched) if name in exported() and exported()[name].job == job}
    assert wanted, f"nothing asks for a metric of {job}: then it needn't be scraped"
    missing = sorted(name for name in wanted if not watched.labels_of(name))
    if not watched.is_scraped(job):
        pytest.skip(f"{NO_IMAGE}: {job}'s {', '.join(missing)} are only compared with a list")
    # Counters of what has not gone wrong yet aren't there: only the rest has to be.
    assert [
        name for name in missing if "failures" not in name and "dropped" not in name and "discarded" not in name
    ] == []


def asked(watched: Watched) -> Iterator[str]:
    """Every metric that a rule or a page names."""
    for expr in [rule["expr"] for _, rule in RULES] + [query.filled() for query in PROMQL]:
        yield from metrics(watched.parsed(expr))


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("http_request_total", "metric http_request_total"),
        ('http_requests_total{route="/x"}', "no label route"),
        ("sum by (pod) (http_requests_total)", "no label pod"),
        ("sum without (pod) (http_requests_total)", "no label pod"),
        ("sum by (release) (http_requests_total) / on (release, handler) http_requests_total", "left of / on"),
        ("app_workers * on (release) group_left (handler) app_info", "no label handler"),
        ('label_replace(app_info, "x", "$1", "pod", "(.*)")', "no label pod"),
        ("container_restarts_total", "metric container_restarts_total"),
        ('rate(container_cpu_usage_seconds_total{pod="x"}[5m])', "no label pod"),
        ("max_over_time(sum by (pod) (app_info)[5m:1m])", "no label pod"),
    ],
)
def test_a_name_that_is_not_there_is_noticed(expr: str, complaint: str, catalogue: Catalogue, watched: Watched) -> None:
    with pytest.raises(WrongError, match=re.escape(complaint)):
        labels(watched.parsed(expr), catalogue.labels)
