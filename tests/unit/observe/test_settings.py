"""[observe] of portside.toml: what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.config import Observe, load_config
from portside.errors import ConfigError
from portside.observe.place import beside, place
from tests.unit.test_config import MINIMAL, write


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def settings(root: Path, text: str) -> Observe:
    return load_config(write(root, f"{MINIMAL}[observe]\n{text}\n")).observe


def refused(root: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(root, text)
    return str(caught.value)


def test_without_a_word_everything_is_on_this_machine_and_on_loopback(tmp_path: Path) -> None:
    observe = load_config(write(tmp_path, MINIMAL)).observe
    assert place(observe).local
    assert {observe.grafana[:10], observe.prometheus[:10], observe.alertmanager[:10]} == {"127.0.0.1:"}
    assert observe.ingest is None


def test_a_host_of_its_own_is_reached_as_any_other(tmp_path: Path) -> None:
    observe = settings(tmp_path, 'host = "deploy@monitor:2222"\nssh_config = "~/x"')
    assert place(observe).hosts == ("deploy@monitor:2222",)
    assert place(observe).ssh_config == Path.home() / "x"


@pytest.mark.parametrize(
    ("host", "machine", "same"),
    [("", "localhost", True), ('host = "a@b"', "a@b", True), ('host = "a@b"', "localhost", False), ("", "a@b", False)],
)
def test_the_agent_beside_the_stack_is_told_from_the_others(
    tmp_path: Path, host: str, machine: str, same: bool
) -> None:
    assert beside(settings(tmp_path, host), Named(machine)) is same  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('host = "not a host"', "observe.host"),
        ('grafana = "3000"', "observe.grafana"),
        ('retention = "15"', "observe.retention"),
        ('retention = "0d"', "observe.retention"),
        ('ingest = "0.0.0.0:9443"', "ingest and ingest_address go together"),
        ('ingest_address = "monitor:9443"', "ingest and ingest_address go together"),
        ("start_deadline = -1", "observe.start_deadline"),
        ("slo = { availability = 100.0 }", "observe.slo.availability"),
        ('alerts = "all"', "no such key"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, text: str, named: str) -> None:
    assert named in refused(tmp_path, text)


def test_a_receiver_s_secret_is_never_repeated_in_an_error(tmp_path: Path) -> None:
    said = refused(tmp_path, '[observe.receivers.oncall]\nkind = "slack"\nsecret = "hunter2"')
    assert "observe.receivers.oncall" in said
    assert "hunter2" not in said
