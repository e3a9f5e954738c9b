"""Where values turn bad, read from the alert rules: a number that an alert knows is written down once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml

from observability.dashboards.panels import Threshold

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
# Of an expression's comparisons the first is what the alert is named after; what follows are conditions.
COMPARISON = re.compile(r"(?P<sign>[<>])=?\s*(?P<number>\d+(?:\.\d+)?)(?![\w.])")


def of_alert(name: str) -> Threshold:
    """What the alert of this name compares with.

    KeyError: there is no such alert. ValueError: it compares with no number, or its rules do with several.
    """
    found = _compared(name)
    if len(set(found)) != 1:
        raise ValueError(f"{name} compares with {found}")
    return found[0]


def of_burning(objective: str) -> Threshold:
    """How fast a budget may burn: doubtful where the slowest warning begins, bad where the first call does."""
    name = objective.capitalize()
    fast, slow = (_compared(f"{name}BudgetBurns{how}") for how in ("Fast", "Slowly"))
    return Threshold(min(each.value for each in fast), doubtful=min(each.value for each in slow))


def _compared(name: str) -> Sequence[Threshold]:
    found = []
    for expr in _exprs(RULES)[name]:
        comparison = COMPARISON.search(expr)
        if comparison is None:
            raise ValueError(f"{name} compares with no number: {expr}")
        found.append(Threshold(float(comparison["number"]), below=comparison["sign"] == "<"))
    return found


@cache
def _exprs(folder: Path) -> dict[str, list[str]]:
    """Alert's name to its expressions."""
    exprs: dict[str, list[str]] = {}
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    exprs.setdefault(rule["alert"], []).append(rule["expr"])
    return exprs
