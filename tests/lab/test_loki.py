"""The real Loki with our configuration: what it keeps, what it finds, and which lines wake somebody.

It runs from its image, or from the binary that PORTSIDE_LOKI names. The lines are those of the real service.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.lab.loki import Loki, days_ago, rules_in_a_hurry, running_alertmanager, running_loki, wait
from tests.lab.project import REPOSITORY
from tests.unit.observability.alloy_labels import component

pytestmark = pytest.mark.monitoring

RETENTION_DAYS = 3
REQUEST_ID = "find-me-0123456789"
DISGUISE = 'Traceback (most recent call last) "exception.type": psycopg sqlalchemy.exc. FATAL:  x'
ALERTS = {"LogErrorBurst", "LogUnhandledExceptions", "LogDatabaseErrors", "LogAuthenticationFailures"}


def free_ports(count: int) -> list[int]:
    """Neighbours of them are used too: Loki's gRPC listens on the next one."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return free_ports(2)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory, ports: list[int]) -> Iterator[str]:
    with running_alertmanager(tmp_path_factory.mktemp("alertmanager"), port=ports[0]) as url:
        yield url


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory, ports: list[int], request: pytest.FixtureRequest) -> Iterator[Loki]:
    home = tmp_path_factory.mktemp("loki")
    rules = rules_in_a_hurry(home / "rules")
    address = f"http://127.0.0.1:{ports[0]}"
    with running_loki(home, address, rules=rules, port=ports[1], retention=f"{RETENTION_DAYS}d") as started:
        request.getfixturevalue("alertmanager")
        yield started


@contextmanager
def service(home: Path, **environment: str) -> Iterator[tuple[httpx.Client, Callable[[], list[str]]]]:
    """The real service under Gunicorn, and what it has written to stdout so far."""
    home.mkdir()
    (port,) = free_ports(1)
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "DATA_DIR": str(home), "TMPDIR": str(home)}
    settings = {"PORT": str(port), "APP_RELEASE": "r1", "WEB_CONCURRENCY": "1"}
    with (home / "stdout").open("wb") as stdout, (home / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.web", "-c", "app/gunicorn.conf.py", "tests.lab.guarded:app"],
            env={**paths, **settings, **environment},
            cwd=REPOSITORY,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            wait(lambda: _alive(client), 30, home / "stderr")
            yield client, lambda: (home / "stdout").read_text().splitlines()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def _alive(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Said:
    """Lines that the service really wrote."""

    everything: list[str]
    crashes: list[str]
    refusals: list[str]
    without_database: list[str]
    disguised: list[str]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Crashes because of a row that can't be read, refused callers, an absent database, and a caller in disguise."""
    home = tmp_path_factory.mktemp("service")
    nowhere = free_ports(1)[0]
    with service(home / "guarded") as (client, written):
        slug = client.post("/links", json={"url": "https://example.com/"}).json()["slug"]
        client.get(f"/links/{slug}", headers={"X-Request-ID": REQUEST_ID})
        for number in range(70):
            client.get("/private/door" if number % 2 else "/private/safe")
        for _ in range(30):
            client.get("/links/missing", headers={"User-Agent": DISGUISE})
        with sqlite3.connect(home / "guarded/links.db") as database:
            database.execute("UPDATE links SET created_at = 'garbage'")
        for _ in range(25):
            assert client.get(f"/links/{slug}").status_code == 500
    everything = written()  # now that it has stopped: a line is written after its answer
    with service(home / "alone", DATABASE_URL=f"postgresql://u:p@127.0.0.1:{nowhere}/links") as (client, alone):
        for _ in range(10):
            assert client.get("/links").status_code == 503
    return Said(
        everything=everything,
        crashes=[line for line in everything if json.loads(line)["level"] == "error"],
        refusals=[line for line in everything if json.loads(line).get("http.response.status_code") in (401, 403)],
        without_database=alone(),
        disguised=[line for line in everything if json.loads(line).get("user_agent.original") == DISGUISE],
    )


def of(service: str) -> dict[str, str]:
    return {"service": service, "env": "prod", "host": "web-1", "container": f"{service}-prod-blue-web-1"}


def test_retention_is_what_was_asked_for_and_is_shown(loki: Loki) -> None:
    configuration = yaml.safe_load(loki.get("/config").text)
    shown = [line for line in loki.get("/metrics").text.splitlines() if 'limit_name="retention_period"' in line]

    assert configuration["limits_config"]["retention_period"] == f"{RETENTION_DAYS}d"
    assert configuration["compactor"]["retention_enabled"] is True
    assert configuration["analytics"]["reporting_enabled"] is False
    assert [float(line.split()[-1]) for line in shown] == [RETENTION_DAYS * 86400 * 1e9]


def test_a_line_older_than_that_is_refused(loki: Loki) -> None:
    old = json.dumps({"timestamp": days_ago(RETENTION_DAYS + 1), "level": "info", "message": "from another time"})
    young = json.dumps({"timestamp": days_ago(RETENTION_DAYS - 1), "level": "info", "message": "the day before"})

    refused, taken = loki.push(of("late"), [old]), loki.push(of("late"), [young])

    assert (refused.status_code, taken.status_code) == (400, 204), refused.text
    assert "too old" in refused.text


def test_a_request_id_finds_the_lines_of_its_request(loki: Loki, said: Said) -> None:
    assert loki.push(of("findable"), said.everything).status_code == 204
    wanted = [line for line in said.everything if REQUEST_ID in line]

    found = loki.query(f'{{service="findable"}} | request_id="{REQUEST_ID}"')

    assert len(wanted) == 1
    assert found == wanted


def test_a_route_and_a_release_find_theirs(loki: Loki, said: Said) -> None:
    assert loki.push(of("routed"), said.everything).status_code == 204
    wanted = Counter(line for line in said.everything if json.loads(line).get("http.route") == "/private/{place}")

    found = loki.query('{service="routed"} | release="r1" | route="/private/{place}" | status=~"4.."')

    assert Counter(found) == wanted
    assert len(found) == 70


def test_lines_sent_twice_are_found_once(loki: Loki, said: Said) -> None:
    for _ in range(2):
        assert loki.push(of("twice"), said.everything).status_code == 204

    assert Counter(loki.query('{service="twice"}')) == Counter(said.everything)


def test_streams_have_no_label_that_alloy_didnt_set(loki: Loki, said: Said) -> None:
    assert loki.push(of("labelled"), said.everything).status_code == 204

    assert loki.labels() == {"service", "env", "host", "container", "level"}
    assert "level" in component("loki.process").only("stage.labels").attributes["values"]


def test_the_rules_are_loaded_and_evaluated(loki: Loki) -> None:
    def health() -> dict[str, str]:
        groups = loki.get("/prometheus/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    assert health().keys() == ALERTS
    deadline = time.monotonic() + 30
    while set(health().values()) != {"ok"}:
        assert time.monotonic() < deadline, health()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def arrived(loki: Loki, alertmanager: str, said: Said) -> dict[str, dict[str, Any]]:
    """What Alertmanager got, by service and alert: `broken` has all of it, `edge` as much as is tolerated,
    `disguised` only what a caller wrote."""
    pushed = [
        loki.push(of("broken"), [*said.crashes, *said.refusals]),
        loki.push(of("broken"), said.without_database),
        loki.push(of("edge"), [*said.crashes[:20], *said.refusals[:60]]),
        loki.push(of("edge"), [line for line in said.without_database if "not available" in line][:1]),
        loki.push(of("disguised"), said.disguised),
    ]
    assert [answer.status_code for answer in pushed] == [204] * len(pushed)

    def now() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {name: {} for name in ("broken", "edge", "disguised")}
        for alert in httpx.get(f"{alertmanager}/api/v2/alerts", timeout=10, trust_env=False).json():
            found.setdefault(alert["labels"]["service"], {})[alert["labels"]["alertname"]] = alert
        return found

    deadline = time.monotonic() + 60
    while now()["broken"].keys() != ALERTS or not now()["edge"]:
        assert time.monotonic() < deadline, (now(), loki.alerts())
        time.sleep(0.5)
    time.sleep(8)  # longer than any `for` and several rounds: whoever is quiet now stays quiet
    return now()


def test_each_alert_reaches_alertmanager(arrived: dict[str, dict[str, Any]], said: Said) -> None:
    assert (len(said.crashes), len(said.refusals)) == (25, 70)
    assert arrived["broken"].keys() == ALERTS


def test_as_much_as_is_tolerated_wakes_nobody(arrived: dict[str, dict[str, Any]]) -> None:
    """But for tracebacks, of which none is."""
    assert arrived["edge"].keys() == {"LogUnhandledExceptions"}


def test_a_caller_in_disguise_trips_nothing(arrived: dict[str, dict[str, Any]], loki: Loki, said: Said) -> None:
    assert len(said.disguised) == 30
    assert all("psycopg" in line for line in said.disguised)
    assert arrived["disguised"] == {}
    assert not [alert for alert in loki.alerts() if alert["labels"]["service"] == "disguised"]


def test_a_page_says_who_where_and_what_to_do(arrived: dict[str, dict[str, Any]]) -> None:
    alerts = arrived["broken"]
    burst = alerts["LogErrorBurst"]

    assert burst["annotations"]["summary"] == "broken (prod) on web-1 logs many errors, release r1"
    assert burst["annotations"]["description"].startswith("25 lines")
    assert burst["annotations"]["command"] == "invoke logs --env prod --since 10m"
    assert burst["annotations"]["runbook"] == "docs/runbooks/LogErrorBurst.md"
    assert burst["generatorURL"].startswith("http://127.0.0.1:3000/explore")
    assert {name: alert["labels"]["severity"] for name, alert in alerts.items()} == {
        "LogErrorBurst": "warning",
        "LogUnhandledExceptions": "warning",
        "LogDatabaseErrors": "critical",
        "LogAuthenticationFailures": "warning",
    }
