"""What was measured, as values: series of seconds, ratios between them, and the aims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Series:
    """Seconds of one command, once per round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.2f} s ({min(self.seconds):.2f}–{max(self.seconds):.2f})"


@dataclass(frozen=True)
class Figure:
    """One line of the result. `ratio` is `ours` over `theirs`: the median of the rounds' own ratios, so that a
    machine which is slow for a while is slow for both. `aim` is the most that `ratio`, or else `ours`, may be.
    """

    what: str
    ours: Series
    theirs: Series | None = None
    aim: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        if self.theirs is None:
            return None
        pairs = zip(self.ours.seconds, self.theirs.seconds, strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        measured = self.ours.median if self.ratio is None else self.ratio
        return measured <= self.aim


@dataclass(frozen=True)
class Count:
    """A number that doesn't vary with the machine: exchanges, bytes, lost requests."""

    what: str
    value: int
    aim: int | None = None

    @property
    def met(self) -> bool | None:
        return None if self.aim is None else self.value <= self.aim


@dataclass
class Results:
    """A whole run. `phases` is Portside's own account of its deploys, medians by phase."""

    rounds: int
    machine: str
    figures: list[Figure] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    phases: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "machine": self.machine,
            "figures": [
                {
                    "what": figure.what,
                    "ours": list(figure.ours.seconds),
                    "theirs": list(figure.theirs.seconds) if figure.theirs else None,
                    "against": figure.theirs.name if figure.theirs else None,
                    "median": figure.ours.median,
                    "ratio": figure.ratio,
                    "aim": figure.aim,
                    "met": figure.met,
                }
                for figure in self.figures
            ],
            "counts": [
                {"what": count.what, "value": count.value, "aim": count.aim, "met": count.met} for count in self.counts
            ],
            "phases": {command: dict(phases) for command, phases in self.phases.items()},
        }


def medians(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median of each key over all samples that have it."""
    collected: dict[str, list[float]] = {}
    for sample in samples:
        for key, value in sample.items():
            collected.setdefault(key, []).append(value)
    return {key: round(median(values), 3) for key, values in collected.items()}
