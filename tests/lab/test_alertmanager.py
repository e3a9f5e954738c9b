"""The stack's Alertmanager with our files: what arrives at receivers, and what is muted. Only its waits are shorter."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from portside.alerting.alertmanager import alertmanager_files
from portside.config import load_config
from portside.image.bases import ensure_image
from portside.observe.versions import versions
from tests.lab.inbox import Inbox
from tests.mailbox import Mailbox, mailbox

pytestmark = pytest.mark.monitoring

ROOT = Path(__file__).parents[2]
NAME = "portside-test-alertmanager"
SECONDS = 30
RECEIVERS = """
[service]
name = "links"
[env.prod]
[env.staging]
[observe]
runbooks = "https://example.com/runbooks"
[observe.receivers.oncall]
kind = "pagerduty"
secret = "env:KEY"
url = "{pagerduty}"
severities = ["critical"]
envs = ["prod"]
[observe.receivers.team]
kind = "slack"
secret = "env:SLACK"
[observe.receivers.hook]
kind = "webhook"
secret = "env:HOOK"
[observe.receivers.beat]
kind = "webhook"
secret = "env:BEAT"
severities = ["none"]
[observe.receivers.office]
kind = "email"
to = "ops@example.com"
from = "portside@example.com"
smarthost = "{smarthost}"
username = "portside"
secret = "env:SMTP"
"""

Json = dict[str, Any]


class Alertmanager:
    def __init__(self, address: str, inbox: Inbox, box: Mailbox) -> None:
        self.address = address
        self.inbox = inbox
        self.box = box

    def post(self, *alerts: Json) -> None:
        answer = httpx.post(f"{self.address}/api/v2/alerts", json=list(alerts), timeout=10)
        assert answer.status_code == 200, answer.text

    def muted(self) -> dict[str, bool]:
        """Each alert's `id` label, and whether another one mutes it."""
        alerts = httpx.get(f"{self.address}/api/v2/alerts", timeout=10).json()
        return {alert["labels"]["id"]: bool(alert["status"]["inhibitedBy"]) for alert in alerts}


def eventually(what: Callable[[], Any], why: Callable[[], str] = lambda: "nothing came") -> Any:
    until = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < until, why()
        time.sleep(0.05)
    return found


def finally_muted(alertmanager: Alertmanager, expected: dict[str, bool]) -> None:
    """Alertmanager says at its next look at an alert who mutes it, not when the other one arrives."""
    eventually(lambda: alertmanager.muted() == expected, lambda: str(alertmanager.muted()))


def hurried(route: Json) -> Json:
    waits = {"group_wait": "0s", "group_interval": "1s"}
    return {**route, **waits, "routes": [hurried(each) for each in route.get("routes", [])]}


def written(folder: Path, inbox: Inbox, box: Mailbox) -> None:
    """What `invoke observe` gives Alertmanager, with waits of a moment."""
    (folder / "portside.toml").write_text(
        RECEIVERS.format(smarthost=box.address, pagerduty=f"{inbox.address}/pagerduty")
    )
    (folder / "observability").symlink_to(ROOT / "observability")
    (folder / "secrets").mkdir()
    (folder / "secrets/oncall").write_text("routing-key\n")
    (folder / "secrets/office").write_text("hunter2")
    for name in ("team", "hook", "beat"):
        (folder / "secrets" / name).write_text(f"{inbox.address}/{name}\n")
    for path, text in alertmanager_files(load_config(folder)).items():
        target = folder / "alertmanager" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    file = folder / "alertmanager/alertmanager.yml"
    data = yaml.safe_load(file.read_text())
    data["route"] = hurried(data["route"])
    file.write_text(yaml.safe_dump(data))


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    image = versions(ROOT)["ALERTMANAGER_IMAGE"]
    asyncio.run(ensure_image(image, say=print))
    inbox = Inbox()
    with mailbox(tmp_path, password=True) as box:
        yield from started(tmp_path, image, inbox, box)


def started(folder: Path, image: str, inbox: Inbox, box: Mailbox) -> Iterator[Alertmanager]:
    written(folder, inbox, box)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    name = f"{NAME}-{listen.rpartition(':')[2]}"
    # The machine's own network, so that the inbox need not listen where others reach it.
    docker(
        *("run", "--detach", "--name", name, "--network=host", f"--user={os.getuid()}:{os.getgid()}"),
        *("--read-only", "--cap-drop=ALL", "--tmpfs=/alertmanager:mode=1777"),
        f"--volume={folder}/alertmanager:/etc/alertmanager:ro",
        f"--volume={folder}/secrets:/run/portside:ro",
        # The mail server's authority is this test's own.
        f"--volume={box.authority}:/run/authority.pem:ro",
        "--env=SSL_CERT_FILE=/run/authority.pem",
        image,
        *("--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"),
        *(f"--web.listen-address={listen}", "--cluster.listen-address="),
    )
    try:
        eventually(lambda: ready(listen), lambda: docker("logs", name))
        yield Alertmanager(f"http://{listen}", inbox, box)
    finally:
        docker("rm", "--force", name)
        inbox.close()


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def ready(listen: str) -> bool:
    try:
        return httpx.get(f"http://{listen}/-/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def alert(name: str, *, over: bool = False, **labels: str) -> Json:
    now = datetime.now(UTC)
    ends = now - timedelta(seconds=1) if over else now + timedelta(minutes=5)
    return {
        "labels": {"alertname": name, "id": "-".join([name, *labels.values()]), **labels},
        "annotations": {
            "summary": f"{labels.get('service')}/{labels.get('env')} on {labels.get('host')}: requests fail",
            "description": "3% of the requests failed.",
            "command": "invoke logs --env prod",
            "runbook": f"docs/runbooks/{name}.md",
        },
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": ends.isoformat(),
    }


PROD = {"service": "links", "env": "prod", "host": "web-1", "release": "r1"}


def test_a_page_arrives_readable_and_is_resolved(alertmanager: Alertmanager) -> None:
    inbox = alertmanager.inbox
    alertmanager.post(alert("HighErrorRatio", severity="critical", **PROD))
    (slack,) = eventually(lambda: inbox.at("/team"))[0]["attachments"]
    assert slack["title"] == "CRITICAL HighErrorRatio: links/prod on web-1: requests fail"
    assert slack["color"] == "danger"
    assert "`invoke logs --env prod`" in slack["text"]
    assert "Runbook: https://example.com/runbooks/HighErrorRatio.md" in slack["text"]

    event = eventually(lambda: inbox.at("/pagerduty"))[0]
    assert event["routing_key"] == "routing-key"
    assert event["event_action"] == "trigger"
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["component"] == "links"
    assert {key: event["payload"]["custom_details"][key] for key in PROD} == PROD
    assert "invoke logs --env prod" in event["payload"]["custom_details"]["firing"]

    labels = eventually(lambda: inbox.at("/hook"))[0]["alerts"][0]["labels"]
    assert PROD.items() <= labels.items()

    alertmanager.post(alert("HighErrorRatio", over=True, severity="critical", **PROD))
    resolved = eventually(lambda: [event for event in inbox.at("/pagerduty") if event["event_action"] == "resolve"])
    assert resolved[0]["dedup_key"] == event["dedup_key"]
    over = eventually(lambda: [each for each in inbox.at("/team") if each["attachments"][0]["color"] == "good"])
    assert over[0]["attachments"][0]["title"].startswith("RESOLVED HighErrorRatio")
    assert inbox.at("/beat") == []


def test_mail_arrives_signed_in_encrypted_and_readable(alertmanager: Alertmanager) -> None:
    box = alertmanager.box
    alertmanager.post(alert("HighErrorRatio", severity="critical", **PROD))
    mail = eventually(lambda: box.came)[0]
    assert (mail["From"], mail["To"]) == ("portside@example.com", "ops@example.com")
    assert mail["Subject"] == "CRITICAL HighErrorRatio: links/prod on web-1: requests fail"
    assert mail["Date"] and mail["Message-Id"]
    text = mail.get_body(("plain",)).get_content()
    said = [line for line in text.replace("\r", "").splitlines() if line and not line.startswith("since 20")]
    assert said == [
        "links/prod on web-1: requests fail",
        "3% of the requests failed.",
        "First: invoke logs --env prod",
        "Runbook: https://example.com/runbooks/HighErrorRatio.md",
    ]
    html = mail.get_body(("html",)).get_content()
    assert "<h3>links/prod on web-1: requests fail</h3>" in html
    assert re.search(r"<pre[^>]*>invoke logs --env prod</pre>", html)
    assert "Over" not in html
    assert box.encrypted == [True]
    assert box.logins == [("portside", "hunter2")]

    alertmanager.post(alert("HighErrorRatio", over=True, severity="critical", **PROD))
    over = eventually(lambda: box.came[1:])[0]
    assert over["Subject"] == "RESOLVED HighErrorRatio: links/prod on web-1: requests fail"
    assert over.get_body(("plain",)).get_content().startswith("Over: links/prod on web-1: requests fail")
    assert ">Over</h2>" in over.get_body(("html",)).get_content()


def test_a_heartbeat_is_told_of_the_watchdog_alone(alertmanager: Alertmanager) -> None:
    alertmanager.post(
        alert("Watchdog", severity="none"), alert("HighLatency", severity="warning", **{**PROD, "env": "staging"})
    )
    beat = eventually(lambda: alertmanager.inbox.at("/beat"))[0]
    assert [each["labels"]["alertname"] for each in beat["alerts"]] == ["Watchdog"]
    warned = eventually(lambda: alertmanager.inbox.at("/hook"))
    assert {each["labels"]["alertname"] for message in warned for each in message["alerts"]} == {"HighLatency"}
    assert alertmanager.inbox.at("/pagerduty") == []


def test_a_page_mutes_the_warnings_of_its_service_and_no_other_s(alertmanager: Alertmanager) -> None:
    host = {"env": "prod", "host": "web-1"}
    alertmanager.post(
        alert("HighErrorRatio", severity="critical", **PROD),
        alert("HighLatency", severity="warning", **PROD),
        alert("HighLatency", severity="warning", **{**PROD, "env": "staging"}),
        alert("HighLatency", severity="warning", **{**PROD, "service": "mail"}),
        alert("HostCpuBusy", severity="warning", **host),
        alert("HostDiskFull", severity="critical", device="/dev/vda", **host),
        alert("AvailabilityBudgetBurnsFast", severity="critical", service="links", env="prod"),
    )
    expected = {
        "HighErrorRatio-critical-links-prod-web-1-r1": False,
        "HighLatency-warning-links-prod-web-1-r1": True,
        "HighLatency-warning-links-staging-web-1-r1": False,
        "HighLatency-warning-mail-prod-web-1-r1": False,
        "HostCpuBusy-warning-prod-web-1": False,
        "HostDiskFull-critical-/dev/vda-prod-web-1": False,
        "AvailabilityBudgetBurnsFast-critical-links-prod": True,
    }
    finally_muted(alertmanager, expected)


def test_a_host_that_is_gone_mutes_all_else_of_it(alertmanager: Alertmanager) -> None:
    alertmanager.post(
        alert("AgentGone", severity="critical", env="prod", host="web-1"),
        alert("AgentGone", severity="critical", env="prod", host="web-2"),
        alert("ServiceDown", severity="critical", **PROD),
        alert("HostDiskFull", severity="critical", env="prod", host="web-1"),
        alert("ServiceDown", severity="critical", **{**PROD, "host": "web-3"}),
        alert("SiteDown", severity="critical", **{**PROD, "host": "web-3"}),
        alert("MonitoringDown", severity="critical", job="loki"),
        alert("LokiDropsLines", severity="warning", reason="rate_limited"),
    )
    expected = {
        "AgentGone-critical-prod-web-1": False,
        "AgentGone-critical-prod-web-2": False,
        "ServiceDown-critical-links-prod-web-1-r1": True,
        "HostDiskFull-critical-prod-web-1": True,
        "ServiceDown-critical-links-prod-web-3-r1": False,
        "SiteDown-critical-links-prod-web-3-r1": True,
        "MonitoringDown-critical-loki": False,
        "LokiDropsLines-warning-rate_limited": True,
    }
    finally_muted(alertmanager, expected)
