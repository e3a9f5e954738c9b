"""[observe.receivers.*] and [observe.slo]: what they become, and how a mistake is told. amtool's view: tests/rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from portside.alerting.alertmanager import alertmanager_files, receiver_secrets
from portside.alerting.objectives import objectives
from portside.alerting.routes import unheard, untold
from portside.config import Config, Slo, load_config
from portside.errors import ConfigError

ROOT = Path(__file__).parents[2]
SLACK = '[observe.receivers.team]\nkind = "slack"\nsecret = "env:SLACK_URL"\n'
EMAIL = (
    '[observe.receivers.office]\nkind = "email"\nto = "ops@example.com"\nfrom = "portside@example.com"\n'
    'smarthost = "smtp.example.com:587"\n'
)


def settings(folder: Path, receivers: str) -> Config:
    (folder / "portside.toml").write_text(f'[service]\nname = "links"\n[env.prod]\n[env.staging]\n{receivers}')
    (folder / "observability").symlink_to(ROOT / "observability")
    return load_config(folder)


def refused(folder: Path, receivers: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(folder, receivers)
    return str(caught.value)


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ('kind = "slak"\nsecret = "env:A"', "observe.receivers.x.kind: Input should be 'slack'"),
        ('kind = "slack"', "observe.receivers.x: kind slack also needs secret"),
        ('kind = "slack"\nsecret = "env:A"\nto = "a@b"', "observe.receivers.x: to is no key of kind slack"),
        ('kind = "pagerduty"\nsecret = "env:A"\nchannel = "#a"', "channel is no key of kind pagerduty"),
        ('kind = "webhook"\nsecret = "env:A"\nurl = "https://a"', "observe.receivers.x: url is no key of kind webhook"),
        ('kind = "pagerduty"\nsecret = "env:A"\nurl = "events.eu.pagerduty.com"', "observe.receivers.x.url"),
        ('kind = "email"\nto = "a@b"', "observe.receivers.x: kind email also needs from, smarthost"),
        ('kind = "email"\nto = "a@b"\nfrom = "c@d"\nsmarthost = "e:25"\nusername = "f"', "also needs secret"),
        ('kind = "email"\nto = "ops"\nfrom = "c@d"\nsmarthost = "e:25"', "observe.receivers.x.to"),
        ('kind = "email"\nto = "a@b"\nfrom = "c@d"\nsmarthost = "e"', "observe.receivers.x.smarthost"),
        ('kind = "slack"\nsecret = "env:A"\nseverities = ["page"]', "observe.receivers.x.severities.0"),
        ('kind = "slack"\nsecret = "env:A"\nseverities = []', "observe.receivers.x.severities"),
        ('kind = "slack"\nsecret = "env:A"\nseverities = ["none"]', "is for a heartbeat"),
        ('kind = "webhook"\nsecret = "env:A"\nseverities = ["none", "critical"]', "is for a heartbeat"),
        (
            'kind = "slack"\nsecret = "env:A"\nenvs = ["production"]',
            "observe.receivers.x.envs: there is no environment",
        ),
    ],
)
def test_a_mistake_names_file_key_and_remedy(tmp_path: Path, block: str, named: str) -> None:
    said = refused(tmp_path, f"[observe.receivers.x]\n{block}\n")
    assert "portside.toml" in said
    assert named in said
    assert "docs/configuration.md" in said or "Use some of: prod, staging" in said


def test_a_secret_that_is_no_reference_is_refused_without_showing_it(tmp_path: Path) -> None:
    said = refused(tmp_path, '[observe.receivers.x]\nkind = "slack"\nsecret = "hunter2"\n')
    assert "observe.receivers.x.secret" in said
    assert "hunter2" not in said


async def test_secrets_are_files_of_the_receiver_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_URL", "https://hooks.example.com/hunter2")
    config = settings(tmp_path, SLACK + EMAIL)
    assert await receiver_secrets(config) == {"team": "https://hooks.example.com/hunter2"}
    files = alertmanager_files(config)
    assert not any("hunter2" in text for text in files.values())
    team = yaml.safe_load(files["alertmanager.yml"])["receivers"][1]
    assert team["slack_configs"][0]["api_url_file"] == "/run/portside/team"


async def test_all_missing_secrets_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_URL", raising=False)
    more = '[observe.receivers.oncall]\nkind = "pagerduty"\nsecret = "file:nowhere#KEY"\n'
    with pytest.raises(ConfigError) as caught:
        await receiver_secrets(settings(tmp_path, SLACK + more))
    assert "observe.receivers.team.secret: the environment variable SLACK_URL is not set" in str(caught.value)
    assert "observe.receivers.oncall.secret: there is no file nowhere" in str(caught.value)


def test_a_source_that_isn_t_there_is_named(tmp_path: Path) -> None:
    assert "no secret source 'attic'" in refused(tmp_path, SLACK.replace("env:", "attic:"))


def test_no_secret_is_in_what_alertmanager_is_configured_with(tmp_path: Path) -> None:
    """Every way to give one inline has a name that ends otherwise."""
    heartbeat = '[observe.receivers.beat]\nkind = "webhook"\nsecret = "env:URL"\nseverities = ["none"]\n'
    oncall = '[observe.receivers.oncall]\nkind = "pagerduty"\nsecret = "env:KEY"\n'
    signed = 'username = "portside"\nsecret = "env:SMTP"\n'
    text = alertmanager_files(settings(tmp_path, SLACK + EMAIL + signed + heartbeat + oncall))["alertmanager.yml"]
    for inline in ("api_url:", "routing_key:", "service_key:", "auth_password:", " url:", "SLACK_URL"):
        assert inline not in text
    for by_file in ("api_url_file:", "routing_key_file:", "auth_password_file:", "url_file:"):
        assert by_file in text


def test_pagerduty_of_another_region_is_asked_there(tmp_path: Path) -> None:
    europe = 'url = "https://events.eu.pagerduty.com/v2/enqueue"\n'
    oncall = '[observe.receivers.oncall]\nkind = "pagerduty"\nsecret = "env:KEY"\n'
    config = settings(tmp_path, f"{oncall}{europe}{oncall.replace('oncall', 'world')}")
    _, there, here = yaml.safe_load(alertmanager_files(config)["alertmanager.yml"])["receivers"]
    assert there["pagerduty_configs"][0]["url"] == "https://events.eu.pagerduty.com/v2/enqueue"
    assert "url" not in here["pagerduty_configs"][0]


def test_mail_needs_no_password_where_the_smarthost_asks_for_none(tmp_path: Path) -> None:
    data = yaml.safe_load(alertmanager_files(settings(tmp_path, EMAIL))["alertmanager.yml"])
    assert not {"auth_username", "auth_password_file"} & set(data["receivers"][1]["email_configs"][0])


def test_what_reaches_nobody_is_known(tmp_path: Path) -> None:
    limited = SLACK + 'severities = ["critical"]\nenvs = ["prod"]\n'
    config = settings(tmp_path, limited + EMAIL + 'envs = ["prod"]\n')
    assert unheard(config.observe.receivers, ["prod", "staging"]) == [("staging", "critical"), ("staging", "warning")]
    assert untold(config.observe.receivers, ["prod", "staging"]) == [
        "Nobody is told of critical alerts of staging.",
        "Nobody is told of warning alerts of staging.",
    ]
    assert len(unheard({}, ["prod", "staging"])) == 4
    assert "add a receiver" in untold({}, ["prod"])[0]


def test_who_takes_everything_leaves_nobody_untold(tmp_path: Path) -> None:
    assert untold(settings(tmp_path, SLACK).observe.receivers, ["prod", "staging"]) == []


def test_a_runbook_address_can_t_be_a_template(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\{\{ has a meaning"):
        alertmanager_files(settings(tmp_path, '[observe]\nrunbooks = "https://{{ .x }}"\n'))


@pytest.mark.parametrize(
    ("slo", "values"),
    [
        (Slo(), ["0.999", "0.99", "vector(0.5)"]),
        (Slo(availability=99.95, latency=95, latency_threshold=1), ["0.9995", "0.95", "vector(1.0)"]),
    ],
)
def test_objectives_are_recorded_as_shares(slo: Slo, values: list[str]) -> None:
    rules = yaml.safe_load(objectives(slo))["groups"][0]["rules"]
    assert [str(rule["expr"]) for rule in rules] == values
    assert rules[2]["labels"] == {"le": values[2].removeprefix("vector(").removesuffix(")")}
