"""Alertmanager's configuration, routes and messages, as Alertmanager itself reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portside.alerting.alertmanager import alertmanager_files
from portside.config import load_config
from tests.rules.conftest import ROOT, Run

RECEIVERS = """
[observe]
runbooks = "https://example.com/runbooks/"
[observe.receivers.oncall]
kind = "pagerduty"
secret = "env:PAGERDUTY_KEY"
severities = ["critical"]
envs = ["prod"]
[observe.receivers.team]
kind = "slack"
secret = "env:SLACK_URL"
channel = "#alerts"
[observe.receivers.office]
kind = "email"
to = "ops@example.com"
from = "portside@example.com"
smarthost = "smtp.example.com:587"
username = "portside"
secret = "env:SMTP_PASSWORD"
severities = ["warning"]
envs = ["staging"]
[observe.receivers.tickets]
kind = "webhook"
secret = "env:TICKETS_URL"
severities = ["warning"]
[observe.receivers.heartbeat]
kind = "webhook"
secret = "env:HEARTBEAT_URL"
severities = ["none"]
"""


def written(folder: Path, receivers: str) -> Path:
    """The files that Alertmanager gets, its secrets beside them."""
    environments = '[service]\nname = "links"\n[env.prod]\nhosts = ["a@web-1", "web-2"]\n[env.staging]\n[env.local]\n'
    (folder / "portside.toml").write_text(environments + receivers)
    (folder / "observability").symlink_to(ROOT / "observability")
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("oncall", "team", "office", "tickets", "heartbeat"):
        (secrets / name).write_text("https://example.com/hook")
    for path, text in alertmanager_files(load_config(folder), str(secrets)).items():
        target = folder / "alertmanager" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder / "alertmanager"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path, RECEIVERS)


def test_the_configuration_is_valid(amtool: Run, folder: Path) -> None:
    said = amtool("check-config", folder / "alertmanager.yml")
    assert "6 receivers" in said
    assert "7 inhibit rules" in said


def test_so_is_that_without_a_receiver(amtool: Run, tmp_path: Path) -> None:
    folder = written(tmp_path, "")
    amtool("check-config", folder / "alertmanager.yml")
    amtool(
        "config", "routes", "test", f"--config.file={folder}/alertmanager.yml", "--verify.receivers=nobody",
        "severity=critical", "env=prod",
    )  # fmt: skip


def test_an_environment_with_a_hyphen_is_a_name_like_any_other(amtool: Run, tmp_path: Path) -> None:
    west = '[env.eu-west]\n[observe.receivers.team]\nkind = "slack"\nsecret = "env:A"\nenvs = ["eu-west", "prod"]\n'
    file = written(tmp_path, west) / "alertmanager.yml"
    assert "incompatible" not in amtool("check-config", file)
    for env, receiver in {"eu-west": "team", "prod": "team", "eu": "nobody", "eu-west-2": "nobody"}.items():
        labels = ("severity=critical", f"env={env}")
        amtool("config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *labels)


def test_a_host_of_several_environments_concerns_all_of_them(amtool: Run, tmp_path: Path) -> None:
    """Its agent calls itself by the one that came first."""
    others = '[env.eu]\nhosts = ["web-4"]\n[env.old]\nhosts = ["b@web-1", "web-3", "web-4"]\n'
    more = f'{others}[observe.receivers.oncall]\nkind = "slack"\nsecret = "env:A"\n'
    file = written(tmp_path, f'{more}envs = ["prod", "eu"]\n') / "alertmanager.yml"
    assert "incompatible" not in amtool("check-config", file)
    for labels, receiver in {
        ("env=old", "host=web-1"): "oncall",
        ("env=old", "host=web-4"): "oncall",
        ("env=old", "host=web-3"): "nobody",
        ("env=old", "host=web-1", "service=links"): "nobody",
        ("env=prod", "host=web-2"): "oncall",
        ("env=observability", "host=monitor"): "oncall",
    }.items():
        found = ("config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}")
        amtool(*found, "severity=critical", *labels)


def test_a_configuration_that_is_wrong_is_told(amtool: Run, folder: Path) -> None:
    """What the tests above rest on."""
    file = folder / "alertmanager.yml"
    file.write_text(file.read_text().replace("receiver: nobody", "receiver: somebody", 1))
    assert "somebody" in amtool("check-config", file, fails=True)


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["severity=critical", "env=prod", "service=links"], "oncall,team"),
        (["severity=critical", "env=staging", "service=links"], "team"),
        (["severity=critical", "env=local", "service=links"], "team"),
        (["severity=warning", "env=prod", "service=links"], "team,tickets"),
        (["severity=warning", "env=staging", "service=links"], "team,office,tickets"),
        (["severity=critical", "env=prod", "host=web-1", "alertname=AgentGone"], "oncall,team"),
        (["severity=critical", "job=loki", "alertname=MonitoringDown"], "oncall,team"),
        (["severity=warning", "alertname=LokiDropsLines"], "team,office,tickets"),
        (["severity=critical", "env=production", "service=links"], "team"),
        (["severity=none", "alertname=Watchdog"], "heartbeat"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_severity_and_environment_decide_who_is_told(
    amtool: Run, folder: Path, labels: list[str], receivers: str
) -> None:
    config = f"--config.file={folder / 'alertmanager.yml'}"
    amtool("config", "routes", "test", config, f"--verify.receivers={receivers}", *labels)


def test_a_beat_that_nobody_waits_for_reaches_nobody(amtool: Run, tmp_path: Path) -> None:
    folder = written(tmp_path, RECEIVERS.split("[observe.receivers.heartbeat]", maxsplit=1)[0])
    config = f"--config.file={folder / 'alertmanager.yml'}"
    amtool("config", "routes", "test", config, "--verify.receivers=nobody", "severity=none", "alertname=Watchdog")


FAILING = {
    "labels": {
        "alertname": "HighErrorRatio",
        "severity": "critical",
        "service": "links",
        "env": "prod",
        "host": "web-1",
        "release": "r1",
    },
    "annotations": {
        "summary": "links/prod on web-1, release r1: requests fail",
        "description": "3% of the requests of 5 minutes were answered with a 5xx status.",
        "command": "invoke logs --env prod --since 15m",
        "runbook": "docs/runbooks/HighErrorRatio.md",
    },
    "startsAt": "2026-11-23T03:12:00+01:00",
    "endsAt": "0001-01-01T00:00:00Z",
}


def message(*alerts: dict[str, Any], status: str) -> dict[str, Any]:
    """What Alertmanager hands to a template."""

    def common(key: str) -> dict[str, str]:
        first, *others = [alert[key] for alert in alerts]
        return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}

    return {
        "receiver": "team",
        "status": status,
        "alerts": list(alerts),
        "groupLabels": {"alertname": alerts[0]["labels"]["alertname"]},
        "commonLabels": common("labels"),
        "commonAnnotations": common("annotations"),
        "externalURL": "http://127.0.0.1:9093",
    }


def rendered(amtool: Run, folder: Path, name: str, data: dict[str, Any], kind: str = "text") -> str:
    (folder / "data.json").write_text(json.dumps(data))
    return amtool(
        "template", "render", f"--template.glob={folder}/templates/*.tmpl", f"--template.data={folder}/data.json",
        f"--template.type={kind}", f'--template.text={{{{ template "{name}" . }}}}',
    ).strip()  # fmt: skip


def firing(**labels: str) -> dict[str, Any]:
    alert = {**FAILING, "labels": {**FAILING["labels"], **labels}, "status": "firing"}  # type: ignore[dict-item]
    if "host" in labels:
        said = FAILING["annotations"]["summary"].replace("web-1", labels["host"])  # type: ignore[index]
        alert["annotations"] = {**FAILING["annotations"], "summary": said}  # type: ignore[dict-item]
    return alert


def test_a_message_says_what_where_since_when_and_what_to_type(amtool: Run, folder: Path) -> None:
    text = rendered(amtool, folder, "portside.text", message(firing(), status="firing"))
    assert text.splitlines() == [
        "links/prod on web-1, release r1: requests fail",
        "3% of the requests of 5 minutes were answered with a 5xx status.",
        "since 2026-11-23 02:12:00 UTC",
        "First: invoke logs --env prod --since 15m",
        "Runbook: https://example.com/runbooks/HighErrorRatio.md",
    ]


def test_a_title_names_severity_alert_and_place(amtool: Run, folder: Path) -> None:
    title = rendered(amtool, folder, "portside.title", message(firing(), status="firing"))
    assert title == "CRITICAL HighErrorRatio: links/prod on web-1, release r1: requests fail"


def test_a_title_of_several_says_how_many_and_what_they_share(amtool: Run, folder: Path) -> None:
    data = message(firing(), firing(host="web-2"), status="firing")
    assert rendered(amtool, folder, "portside.title", data) == "CRITICAL HighErrorRatio: 2 times, links, prod"
    text = rendered(amtool, folder, "portside.text", data)
    assert "on web-1" in text
    assert "on web-2" in text


def test_a_resolved_message_says_when_it_was_over(amtool: Run, folder: Path) -> None:
    over = {**firing(), "status": "resolved", "endsAt": "2026-11-23T02:20:30Z"}
    data = message(over, status="resolved")
    assert rendered(amtool, folder, "portside.title", data).startswith("RESOLVED HighErrorRatio: links/prod")
    text = rendered(amtool, folder, "portside.text", data)
    assert text.startswith("Over: links/prod on web-1")
    assert "since 2026-11-23 02:12:00 UTC, over at 2026-11-23 02:20:30 UTC" in text
    assert rendered(amtool, folder, "portside.color", data) == "good"


def test_slack_shows_the_command_as_one_until_it_is_over(amtool: Run, folder: Path) -> None:
    text = rendered(amtool, folder, "portside.slack", message(firing(), status="firing"))
    assert text.splitlines()[0] == "*links/prod on web-1, release r1: requests fail*"
    assert "`invoke logs --env prod --since 15m`" in text
    over = {**firing(), "status": "resolved", "endsAt": "2026-11-23T02:20:30Z"}
    text = rendered(amtool, folder, "portside.slack", message(over, status="resolved"))
    assert "invoke logs" not in text
    assert "over at" in text


def test_an_alert_without_a_command_is_told_without_one(amtool: Run, folder: Path) -> None:
    annotations = {key: value for key, value in FAILING["annotations"].items() if key != "command"}  # type: ignore[attr-defined]
    text = rendered(amtool, folder, "portside.text", message({**firing(), "annotations": annotations}, status="firing"))
    assert "First" not in text
    assert "Runbook" in text


def test_mail_is_html_in_which_nothing_of_an_alert_is_markup(amtool: Run, folder: Path) -> None:
    annotations = {**FAILING["annotations"], "description": "<script>alert(1)</script>"}  # type: ignore[dict-item]
    data = message({**firing(), "annotations": annotations}, status="firing")
    html = rendered(amtool, folder, "portside.html", data, kind="html")
    assert "<pre" in html
    assert "invoke logs --env prod" in html
    assert "<script>" not in html


@pytest.mark.parametrize(("severity", "color"), [("critical", "danger"), ("warning", "warning")])
def test_pagerduty_and_slack_are_told_how_bad_it_is(amtool: Run, folder: Path, severity: str, color: str) -> None:
    data = message(firing(severity=severity), status="firing")
    assert rendered(amtool, folder, "portside.severity", data) == severity
    assert rendered(amtool, folder, "portside.color", data) == color
