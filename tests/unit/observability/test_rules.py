"""Every alert says who, where and what to type, has its runbook, and is tested: firing, quiet, and without data.

Whether the tests of observability/prometheus/tests pass is promtool's to say: `nox -s rules`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "observability/prometheus/rules"
TESTS = ROOT / "observability/prometheus/tests"
LOG_RULES = ROOT / "observability/loki/rules"
RUNBOOKS = ROOT / "docs/runbooks"
PAGE = ROOT / "docs/alerts.md"
# What says whom an alert is about, as far as its expression knows.
WHERE = ("service", "env", "host", "release")
# Nothing can keep it quiet: that is what it is for.
ALWAYS = {"Watchdog"}
# What is wrong is that there is nothing.
ABSENCE = {"ObjectiveMissing"}

Json = dict[str, Any]


def rules_of(folder: Path) -> list[Json]:
    files = (yaml.safe_load(path.read_text()) for path in sorted(folder.glob("**/*.yml")))
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule]


def cases_of(alert: str) -> list[Json]:
    return [case for cases in CASES.values() for case in cases if case["name"].split()[0] == alert]


def expected(case: Json) -> list[Json]:
    return [alert for test in case["alert_rule_test"] for alert in test["exp_alerts"]]


CASES = {path.stem: yaml.safe_load(path.read_text())["tests"] for path in sorted(TESTS.glob("*.yml"))}
METRIC_ALERTS = rules_of(RULES)
LOG_ALERTS = rules_of(LOG_RULES)
NAMES = sorted({rule["alert"] for rule in METRIC_ALERTS})
every_metric_alert = pytest.mark.parametrize("rule", METRIC_ALERTS, ids=lambda rule: rule["alert"])
every_alert = pytest.mark.parametrize("rule", METRIC_ALERTS + LOG_ALERTS, ids=lambda rule: rule["alert"])
every_name = pytest.mark.parametrize("name", NAMES)


def test_there_are_alerts_of_both_kinds() -> None:
    assert len(NAMES) > 40
    assert LOG_ALERTS


@every_alert
def test_an_alert_has_a_severity_that_routes_know(rule: Json) -> None:
    assert rule["labels"]["severity"] in ({"none"} if rule["alert"] in ALWAYS else {"critical", "warning"})


@every_alert
def test_an_alert_says_what_is_seen_with_its_value(rule: Json) -> None:
    assert rule["annotations"]["summary"]
    assert "$value" in rule["annotations"]["description"]


@every_alert
def test_an_alert_has_a_runbook_that_begins_with_a_command(rule: Json) -> None:
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    assert f"`{rule['labels']['severity']}`" in page.split("\n## ")[0], "the page names another severity"
    section = page.split("\n## ")[1]
    assert section.startswith("First\n\n```bash\n"), "the first section is the first command"


@every_metric_alert
def test_the_first_command_of_a_message_is_that_of_the_runbook(rule: Json) -> None:
    command = rule["annotations"]["command"]
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    typed = page.split("```bash\n")[1].split("\n")[0]
    pattern = re.sub(r"\\\{\\\{\\ \\\$labels\\.\w+\\ \\\}\\\}", r"[\\w./:-]+", re.escape(command))
    assert re.fullmatch(pattern, typed), f"{typed!r} is not {command!r}"


@every_alert
def test_what_an_alert_has_people_type_needs_no_sudo_which_the_deploy_user_lacks(rule: Json) -> None:
    assert "sudo" not in rule["annotations"]["command"]
    assert "sudo" not in (RUNBOOKS / f"{rule['alert']}.md").read_text()


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in METRIC_ALERTS + LOG_ALERTS}


def test_no_name_stands_for_two_alerts() -> None:
    assert not set(NAMES) & {rule["alert"] for rule in LOG_ALERTS}
    for name in NAMES:
        severities = {rule["labels"]["severity"] for rule in METRIC_ALERTS if rule["alert"] == name}
        assert len(severities) == 1, name


@every_name
def test_an_alert_is_seen_firing_with_where_it_is_in_its_summary(name: str) -> None:
    fired = [alert for case in cases_of(name) if "fires" in case["name"] for alert in expected(case)]
    assert fired, f"no case `{name} fires`"
    for alert in fired:
        for label in WHERE:
            value = alert["exp_labels"].get(label)
            assert not value or value in alert["exp_annotations"]["summary"], f"the summary doesn't say {label}"
    severities = {rule["labels"]["severity"] for rule in METRIC_ALERTS if rule["alert"] == name}
    assert {alert["exp_labels"]["severity"] for alert in fired} == severities


@every_metric_alert
def test_each_rule_of_an_alert_is_seen_firing(rule: Json) -> None:
    """An alert of several windows has a rule for each; labels tell them apart."""
    fired = [alert["exp_labels"] for case in cases_of(rule["alert"]) for alert in expected(case)]
    assert any(rule["labels"].items() <= labels.items() for labels in fired), rule["labels"]


@every_name
def test_an_alert_stays_quiet_when_all_is_well(name: str) -> None:
    if name in ALWAYS:
        return
    quiet = [case for case in cases_of(name) if "stays quiet" in case["name"]]
    assert quiet, f"no case `{name} stays quiet: …`"
    for case in quiet:
        assert case["input_series"], case["name"]
        assert expected(case) == []
        assert [test["alertname"] for test in case["alert_rule_test"]] == [name]


@every_name
def test_an_alert_stays_quiet_without_data(name: str) -> None:
    if name in ALWAYS:
        return
    empty = [case for case in cases_of(name) if "has no data" in case["name"]]
    assert empty, f"no case `{name} has no data: …`"
    for case in empty:
        assert expected(case) == []
        assert [test["alertname"] for test in case["alert_rule_test"]] == [name]
    assert name in ABSENCE or any(not case.get("input_series") for case in empty)


@pytest.mark.parametrize("file", CASES)
def test_a_case_tests_the_alert_that_it_is_named_after(file: str) -> None:
    names = [case["name"] for case in CASES[file]]
    assert len(names) == len(set(names))
    for case in CASES[file]:
        alert = case["name"].split()[0]
        assert alert in NAMES, case["name"]
        assert {test["alertname"] for test in case["alert_rule_test"]} == {alert}
        assert re.fullmatch(rf"{alert} (fires|stays quiet: .+|has no data: .+)( \(\d\))?", case["name"]), case["name"]


def test_the_page_s_table_is_that_of_the_rules() -> None:
    listed = {}
    for line in (PAGE).read_text().splitlines():
        if found := re.fullmatch(r"\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \| (.+) \| (\S+) \|", line):
            name, link, severity, _, wait = found.groups()
            assert link == name
            listed[name] = (severity, wait)
    assert listed == {
        rule["alert"]: (rule["labels"]["severity"], rule.get("for", "–")) for rule in METRIC_ALERTS + LOG_ALERTS
    }


def test_what_a_switch_may_trip_is_never_a_page() -> None:
    """A release silences what carries this label (portside/silence.py); nothing else may be silenced by it."""
    tripped = [rule for rule in METRIC_ALERTS + LOG_ALERTS if rule["labels"].get("switch")]
    assert tripped
    for rule in tripped:
        assert rule["labels"]["switch"] == "may-trip"
        assert rule["labels"]["severity"] == "warning", rule["alert"]
