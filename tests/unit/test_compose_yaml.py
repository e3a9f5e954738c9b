"""What a plain word of a Compose file stands for: the same for the engine, for Compose, and for who reads the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portside import compose_yaml
from portside.compose import read_compose

# Each as `docker compose config` (2.26.1) shows it among a service's environment; a whole number without its ".0".
PLAIN = {
    "on": "on",
    "yes": "yes",
    "NO": "NO",
    "y": "y",
    "=": "=",
    "true": True,
    "TRUE": True,
    "False": False,
    "12:30": "12:30",
    "33:33": "33:33",
    "190:20:30.15": "190:20:30.15",
    "2026-13-99": "2026-13-99",
    "~": None,
    "NULL": None,
    "010": 8,
    "-010": -8,
    "0o10": 8,
    "0b11": 3,
    "0X1F": 31,
    "-0x1F": -31,
    "+12": 12,
    "1_000": 1000,
    "0": 0,
    "08": 8,
    "0_8": 8,
    "01089": 1089,
    "0o18": "0o18",
    "0x1G": "0x1G",
    "_1": "_1",
    "1e3": 1000,
    "12e03": 12000,
    "1e-7": 1e-7,
    "1.10": 1.1,
    ".5": 0.5,
    "1.": 1,
    "685_230.15": 685230.15,
    "12e4567": "12e4567",
}


@pytest.mark.parametrize(("written", "meant"), PLAIN.items())
def test_a_plain_word_is_what_compose_takes_it_for(written: str, meant: object) -> None:
    found = compose_yaml.load(f"a: {written}")["a"]
    assert found == meant
    assert isinstance(found, bool) == isinstance(meant, bool)


@pytest.mark.parametrize("text", [*PLAIN, "", "<<", ".inf", "a: b", "#", "2026-01-02", "100%"])
def test_a_quoted_text_is_a_text_again_for_whoever_reads_it(text: str) -> None:
    written = compose_yaml.dump({"a": text})
    assert compose_yaml.load(written) == {"a": text}
    assert yaml.safe_load(written) == {"a": text}


@pytest.mark.parametrize("value", [True, None, 8, -31, 1.1, 1e3, 1e21, 1e-7, 10**30, [{"b": 0.5}]])
def test_what_is_no_text_stays_what_it_is(value: Any) -> None:
    written = compose_yaml.dump({"a": value})
    assert "!!" not in written
    assert compose_yaml.load(written) == {"a": value}


def test_keys_and_anchors_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("x-a: &a {on: 1}\nservices: {web: {<<: *a, environment: {NO: 12:30}, restart: no}}\n")
    assert read_compose(path)["services"]["web"] == {"on": 1, "environment": {"NO": "12:30"}, "restart": "no"}
