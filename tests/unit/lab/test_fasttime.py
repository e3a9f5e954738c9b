"""Time runs faster and nothing else changes: an end-to-end test judges the rules that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.fasttime import (
    UNITS,
    divided,
    faster_config,
    faster_expression,
    faster_rules,
    milliseconds,
    shown,
    write_faster_rules,
)

ROOT = Path(__file__).parents[3]
RULES = ROOT / "observability/prometheus/rules"


@pytest.mark.parametrize(
    ("text", "value"),
    [("15s", 15_000), ("1h30m", 5_400_000), ("250ms", 250), ("3d", 259_200_000), ("1y", 31_536_000_000), ("0", 0)],
)
def test_durations_are_read_as_prometheus_does(text: str, value: int) -> None:
    assert milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "1.5h", "-5m", "5min"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        milliseconds(text)


@given(st.integers(min_value=1, max_value=10**12))
def test_what_is_shown_is_read_back(duration: int) -> None:
    assert milliseconds(shown(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "factor", "faster"), [("5m", 20, "15s"), ("30s", 20, "1500ms"), ("1ms", 100, "1ms"), ("0s", 10, "0s")]
)
def test_a_duration_is_divided_and_never_vanishes(duration: str, factor: float, faster: str) -> None:
    assert divided(duration, factor) == faster


@pytest.mark.parametrize(
    ("expr", "faster"),
    [
        ("rate(a[5m])", "rate(a[30s])"),
        ("max_over_time(rate(a[5m])[1h:1m])", "max_over_time(rate(a[30s])[360s:6s])"),
        ("a offset 1h30m", "a offset 540s"),
        ("slo:errors:ratio_rate5m / slo:latency:ratio_error_rate1h", None),
        ('a{window="5m", name=~`5m|1h`}', None),
        ("a{b='[5m]'} # over 5m", None),
        ("a > 14.4 and b * 300 >= 5 and c < 14 * 86400 and d > 1e9", None),
        ("time() - timestamp(up) > 90s", "time() - timestamp(up) > 9s"),
        ("predict_linear(a[1h], 4h) < 0", "predict_linear(a[360s], 1440s) < 0"),
        ('sum by (host) (count_over_time({service=~".+"} |= `5m` [10m])) > 20', None),
    ],
)
def test_windows_are_divided_and_names_strings_and_numbers_are_not(expr: str, faster: str | None) -> None:
    wanted = expr.replace("[10m]", "[60s]") if faster is None else faster
    assert faster_expression(expr, 10) == wanted


def without_times(expr: str) -> str:
    return faster_expression(expr, 10**15)


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.stem)
def test_the_rules_that_are_shipped_differ_in_their_times_alone(path: Path) -> None:
    slow, fast = (yaml.safe_load(text) for text in (path.read_text(), faster_rules(path.read_text(), 30)))
    for before, after in zip(slow["groups"], fast["groups"], strict=True):
        assert before["name"] == after["name"]
        for old, new in zip(before["rules"], after["rules"], strict=True):
            assert without_times(old["expr"]) == without_times(new["expr"])
            for key in ("alert", "record", "labels", "annotations"):
                assert old.get(key) == new.get(key)
            if "for" in old:
                assert milliseconds(new["for"]) == milliseconds(old["for"]) / 30
            assert ("[5m]" in old["expr"]) is ("[10s]" in new["expr"])


def test_a_folder_of_rules_is_written_under_the_same_names(tmp_path: Path) -> None:
    written = write_faster_rules(RULES, tmp_path / "rules", 20)
    assert [path.name for path in written] == sorted(path.name for path in RULES.glob("*.yml"))


def test_scrapes_are_as_much_faster_but_not_faster_than_is_sound() -> None:
    text = (ROOT / "observability/prometheus/prometheus.yml").read_text()
    slow, fast = yaml.safe_load(text), yaml.safe_load(faster_config(text, 5))
    for key in ("scrape_interval", "evaluation_interval"):
        assert milliseconds(fast["global"][key]) == max(milliseconds(slow["global"][key]) / 5, 1000)
    assert yaml.safe_load(faster_config(text, 1000))["global"]["scrape_interval"] == "1s"
    assert fast["alerting"] == slow["alerting"]


def test_every_unit_is_known() -> None:
    assert [milliseconds(f"2{unit}") for unit in UNITS] == [2 * size for size in UNITS.values()]
