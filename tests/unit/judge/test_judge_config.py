"""[judge] in portside.toml: what is refused, with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portside.config import Judge, load_config
from portside.errors import ConfigError

WHOLE = '[service]\nname = "links"\n[env.prod]\nhosts = ["deploy@a"]\nbake = 60\n'


def loaded(root: Path, table: str) -> Judge:
    (root / "portside.toml").write_text(f"{WHOLE}[judge]\n{table}\n")
    return load_config(root).judge


def test_a_bake_alone_is_judged_by_defaults(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text(WHOLE)
    config = load_config(tmp_path)
    assert config.judge == Judge()
    assert config.environment("prod").bake == 60


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("significance = 0.5", "judge.significance"),
        ("minimum = 0", "judge.minimum"),
        ("slower = 0", "judge.slower"),
        ('path = "metrics"', "judge.path"),
        ('path = "/metrics HTTP/1.0"', "judge.path"),
        ('requests = "a b"', "judge.requests"),
        ('in_flight = "a{b=1}"', "judge.in_flight"),
        ('error_lines = "("', "judge.error_lines"),
        ('prometheus = { slow = " " }', "judge.prometheus"),
        ("erly = true", "judge.erly"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, table: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, table)
    assert named in caught.value.why


@pytest.mark.parametrize("series", ["a", 'a{b="c"}', 'a:b{c="d e",f=""}'])
def test_a_series_is_a_name_with_labels_or_without(tmp_path: Path, series: Any) -> None:
    assert loaded(tmp_path, f"in_flight = '{series}'").in_flight == series


@pytest.mark.parametrize(
    ("keys", "said"),
    [("canary = [25, 5]", "must grow"), ("canary = [5]\nbake = 0", "needs a bake"), ("canary = [100]", "canary.0")],
)
def test_a_canary_that_makes_no_sense_is_named(tmp_path: Path, keys: str, said: str) -> None:
    whole = WHOLE.replace("bake = 60\n", "") if "bake" in keys else WHOLE
    (tmp_path / "portside.toml").write_text(f"{whole}{keys}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert said in caught.value.why
