"""The real rules with every window and waiting time divided by one number, so that an end-to-end test takes seconds.

Expressions, thresholds and labels stay as they are; so do limits in seconds, which are numbers (`14 * 86400`). Scrapes
have to be as much faster as the windows are shorter: divide the configuration by the same number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_PART = r"\d+(?:ms|[smhdwy])"
DURATION = re.compile(rf"(?:{_PART})+")
# Names may hold what looks like a duration (`rate5m`, `:5m`), and so may strings; in brackets there is nothing else.
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<range>\[[^\]]*\])"
    r"|(?P<name>[A-Za-z_:][\w:]*)"
    rf"|(?P<duration>(?:{_PART})+)(?![\w.])"
    r"|(?P<number>[\d.]+(?:[eE][+-]?\d+)?|0[xX][0-9a-fA-F]+)"
)
RULE_TIMES = ("for", "keep_firing_for")
CONFIG_TIMES = ("scrape_interval", "scrape_timeout", "evaluation_interval")


def milliseconds(text: str) -> int:
    """`1h30m` as milliseconds. ValueError: it is no duration of Prometheus'."""
    if text == "0":
        return 0
    if not DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration")
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def shown(duration: float) -> str:
    """Milliseconds as Prometheus reads them; never zero, which would ask for no window at all."""
    whole = max(1, round(duration))
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"


def divided(duration: str, factor: float) -> str:
    return "0s" if milliseconds(duration) == 0 else shown(milliseconds(duration) / factor)


def faster_expression(expr: str, factor: float) -> str:
    """A PromQL or LogQL expression with all its durations divided."""

    def one(found: re.Match[str]) -> str:
        text = found[0]
        if found["range"]:
            return DURATION.sub(lambda each: divided(each[0], factor), text)
        return divided(text, factor) if found["duration"] else text

    return _TOKEN.sub(one, expr)


def faster_rules(text: str, factor: float) -> str:
    """A rule file, for Prometheus or for Loki's ruler."""
    data: dict[str, Any] = yaml.safe_load(text)
    for group in data["groups"]:
        _divide(group, ("interval",), factor)
        for rule in group["rules"]:
            rule["expr"] = faster_expression(str(rule["expr"]), factor)
            _divide(rule, RULE_TIMES, factor)
    return yaml.safe_dump(data, sort_keys=False, width=110)


def faster_config(text: str, factor: float, least: float = 1000) -> str:
    """A configuration of Prometheus: scrapes and evaluations, no more often than every `least` milliseconds."""
    data: dict[str, Any] = yaml.safe_load(text)
    for section in (data.get("global", {}), *data.get("scrape_configs", [])):
        _divide(section, CONFIG_TIMES, factor, lambda duration: max(duration, least))
    return yaml.safe_dump(data, sort_keys=False, width=110)


def write_faster_rules(source: Path, target: Path, factor: float) -> list[Path]:
    """All rule files of a folder, under their own names in another. Returns what was written."""
    written = []
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.yml")):
        (target / path.name).write_text(faster_rules(path.read_text(), factor))
        written.append(target / path.name)
    return written


def _divide(
    table: dict[str, Any],
    keys: tuple[str, ...],
    factor: float,
    bound: Callable[[float], float] = lambda duration: duration,
) -> None:
    for key in keys:
        if key in table and milliseconds(str(table[key])):
            table[key] = shown(bound(milliseconds(str(table[key])) / factor))
