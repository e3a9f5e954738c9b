"""What the stack answers, as it came over the wire, becomes what a person is told."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portside.errors import CommandError
from portside.host.script import script_text
from portside.observe.look import Stack, parse

CONTAINERS = "prometheus running healthy 0 172.20.0.2 172.21.0.2\nalertmanager running healthy 2 172.20.0.3\n"
READY = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nPrometheus Server is Ready.\n"


def answered(data: Any) -> str:
    return f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{json.dumps(data)}"


def vector(*series: tuple[dict[str, str], float]) -> str:
    result = [{"metric": labels, "value": [1, str(value)]} for labels, value in series]
    return answered({"status": "success", "data": {"resultType": "vector", "result": result}})


def looked(**sections: str) -> Stack:
    whole = {"containers": CONTAINERS, "ready_prometheus": READY, "ready_alertmanager": READY, **sections}
    return parse("".join(f"@@{name}\n{text}\n" for name, text in whole.items()))


def test_a_stack_that_is_well() -> None:
    stack = looked(down=vector(), rules=answered({"status": "success", "data": {"groups": []}}))
    assert stack.ready
    assert stack.well
    assert stack.components["alertmanager"].restarts == 2
    assert stack.log_lag_seconds is None


def test_a_component_that_does_not_answer_is_not_ready() -> None:
    assert not looked(ready_prometheus="").components["prometheus"].ready
    assert not looked(ready_prometheus="HTTP/1.0 503 Service Unavailable\r\n\r\n").ready


def test_no_containers_are_no_stack() -> None:
    assert not parse("@@containers\n\n@@ready_prometheus\n\n").ready


def test_a_target_that_is_down_is_named_with_its_error() -> None:
    target = {"labels": {"job": "ingest", "instance": "ingest:2020"}, "lastError": "connection refused"}
    stack = looked(
        down=vector(({"__name__": "up", "job": "ingest", "instance": "ingest:2020"}, 0)),
        targets=answered({"status": "success", "data": {"activeTargets": [target]}}),
    )
    assert stack.targets_down == ({"job": "ingest", "instance": "ingest:2020", "error": "connection refused"},)
    assert stack.ready
    assert not stack.well


def test_a_service_without_metrics_is_named_and_does_not_make_monitoring_unwell() -> None:
    without = {"job": "service", "service": "links", "env": "prod", "instance": "links-prod-blue-web-1:8000"}
    stack = looked(down=vector((without, 0)))
    assert stack.targets_down == ({**without, "error": ""},)
    assert stack.well
    assert not looked(down=vector((without, 0), ({"job": "node", "instance": "node:9100"}, 0))).well


def test_an_agent_that_stopped_writing_is_named() -> None:
    stack = looked(gone=vector(({"job": "agent", "host": "web-1", "env": "prod"}, 1)))
    assert stack.agents_gone == ({"job": "agent", "host": "web-1", "env": "prod"},)
    assert not stack.well


def test_a_rule_that_fails_is_named_whether_prometheus_or_loki_evaluates_it() -> None:
    def rules(name: str) -> str:
        failing = {"name": name, "health": "err", "lastError": "many-to-many"}
        groups = [{"name": "g", "rules": [failing, {"name": "Fine", "health": "ok"}]}]
        return answered({"status": "success", "data": {"groups": groups}})

    stack = looked(rules=rules("Metrics"), log_rules=rules("Logs"))
    assert [failing["rule"] for failing in stack.rules_failing] == ["Metrics", "Logs"]
    assert not stack.well


def test_alerts_are_shown_and_do_not_make_monitoring_unwell() -> None:
    alert = {
        "labels": {"alertname": "ErrorRatio", "severity": "critical"},
        # Section marks in what somebody else wrote are text.
        "annotations": {"summary": "@@down 5xx over 1 %"},
        "startsAt": "2026-11-23T21:00:00Z",
    }
    stack = looked(alerts=answered([alert]))
    assert stack.alerts[0]["summary"] == "@@down 5xx over 1 %"
    assert stack.well


def test_log_lag_is_told_by_host() -> None:
    assert looked(lag=vector(({"host": "web-1"}, 3.5))).log_lag_seconds == {"web-1": 3.5}


@pytest.mark.parametrize("section", ["down", "alerts"])
def test_an_answer_that_makes_no_sense_is_an_error(section: str) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        looked(**{section: "HTTP/1.0 200 OK\r\n\r\nhello"})


# A stand-in for the Engine, which has no stack to show: three containers, all at this machine's own address.
DOCKER = """#!/bin/sh
case "$1" in
ps) echo 1 ;;
inspect) for name in stuck well gone; do echo "$name running none 0 127.0.0.1"; done ;;
esac
"""


class Well(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
        self.wfile.write(b"yes\n\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_a_component_that_hangs_hides_nothing_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as stuck, ThreadingHTTPServer(("127.0.0.1", 0), Well) as well:
        threading.Thread(target=well.serve_forever, args=(0.02,), daemon=True).start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            gone = probe.getsockname()[1]
        ports = {"stuck": stuck.getsockname()[1], "well": well.server_port, "gone": gone}
        questions = [
            argument
            for n in range(4)
            for name, port in ports.items()
            for argument in (f"{name}{n}", name, str(port), "/ready")
        ]
        done = subprocess.run(
            ["bash", "-c", script_text("observe_look"), "test", "observability", "5", *questions],
            env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        well.shutdown()
        stuck.setblocking(False)
        stuck.accept()
        with pytest.raises(BlockingIOError):
            stuck.accept()
    assert done.stderr == ""
    answers = dict(section.split("\n", 1) for section in done.stdout.split("@@")[2:])
    assert [answers[f"{name}{n}"].strip() for name in ("stuck", "gone") for n in range(4)] == [""] * 8
    for n in range(4):
        assert answers[f"well{n}"].startswith("HTTP/1.0 200 OK\n")
        assert answers[f"well{n}"].rstrip().endswith("\n\nyes")
