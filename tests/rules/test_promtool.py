"""Rules and Prometheus' configuration, as Prometheus itself judges them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from portside.alerting.objectives import objectives
from portside.config import Slo
from tests.lab.fasttime import write_faster_rules
from tests.rules.conftest import ROOT, Run

FOLDER = ROOT / "observability/prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))


def test_the_rules_are_valid(promtool: Run) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted((FOLDER / "rules").glob("*.yml")))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_quiet_when_they_should(promtool: Run, path: Path) -> None:
    promtool("test", "rules", path)


def test_a_case_that_is_wrong_fails(promtool: Run, tmp_path: Path) -> None:
    """What the tests above rest on: promtool tells a summary that isn't the rule's."""
    cases = yaml.safe_load((FOLDER / "tests/targets.yml").read_text())
    cases["rule_files"] = [str(FOLDER / "rules/targets.yml")]
    cases["tests"] = cases["tests"][:1]
    cases["tests"][0]["alert_rule_test"][0]["exp_alerts"][0]["exp_annotations"]["summary"] = "all is well"
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    assert "all is well" in promtool("test", "rules", tmp_path / "cases.yml", fails=True)


@pytest.mark.parametrize("slo", [Slo(), Slo(availability=99.95, latency=95, latency_threshold=1)])
def test_objectives_are_valid_rules(promtool: Run, tmp_path: Path, slo: Slo) -> None:
    (tmp_path / "objectives.yml").write_text(objectives(slo))
    promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "objectives.yml")


def test_the_objective_of_portside_toml_decides_what_is_slow(promtool: Run, tmp_path: Path) -> None:
    """The same requests, half of them slower than half a second: a threshold of a second has no objection."""
    requests = {
        "http_requests_total{%s}": "0+60x20",
        "http_request_duration_seconds_count{%s}": "0+60x20",
        'http_request_duration_seconds_bucket{%s,le="0.5"}': "0+30x20",
        'http_request_duration_seconds_bucket{%s,le="1.0"}': "0+60x20",
        'http_request_duration_seconds_bucket{%s,le="+Inf"}': "0+60x20",
    }
    labels = 'job="service",service="links",env="prod",host="h",release="r",instance="i"'
    for threshold, share in ((0.5, 0.5), (1, 0)):
        (tmp_path / "objectives.yml").write_text(objectives(Slo(latency_threshold=threshold)))
        case = {
            "interval": "1m",
            "input_series": [{"series": name % labels, "values": values} for name, values in requests.items()],
            "promql_expr_test": [
                {
                    "expr": "slo:latency:ratio_error_rate5m",
                    "eval_time": "15m",
                    "exp_samples": [
                        {"labels": 'slo:latency:ratio_error_rate5m{service="links",env="prod"}', "value": share}
                    ],
                }
            ],
        }
        rules = [str(tmp_path / "objectives.yml"), str(FOLDER / "rules/recording.yml"), str(FOLDER / "rules/slo.yml")]
        (tmp_path / "case.yml").write_text(yaml.safe_dump({"rule_files": rules, "tests": [case]}))
        promtool("test", "rules", tmp_path / "case.yml")


@pytest.mark.parametrize(
    ("path", "kind"), [("prometheus/prometheus.yml", []), ("agent/prometheus-agent.yml", ["--agent"])]
)
def test_the_configuration_is_valid(promtool: Run, path: str, kind: list[str]) -> None:
    promtool("check", "config", "--syntax-only", *kind, ROOT / "observability" / path)


def test_rules_in_fast_time_are_valid(promtool: Run, tmp_path: Path) -> None:
    """What the end-to-end tests run on; a month at thirty times the speed is a day."""
    promtool("check", "rules", *write_faster_rules(FOLDER / "rules", tmp_path, 30))
