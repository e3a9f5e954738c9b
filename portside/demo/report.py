"""What came of a demo, as a value: what was expected, what happened, and how it is printed. No I/O."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from portside.load.report import Latency
from portside.outcome import Outcome


@dataclass(frozen=True)
class ReleaseReport:
    """One of the demo's releases. `seconds` is per phase, `total` from the command to its end."""

    title: str
    id: str
    outcome: str
    seconds: Mapping[str, float]
    total: float
    requests: int = 0
    failed: int = 0

    @classmethod
    def of(cls, title: str, outcome: Outcome, total: float, *, requests: int = 0, failed: int = 0) -> ReleaseReport:
        return cls(
            title, outcome.release, outcome.outcome, dict(outcome.timings.phases), round(total, 2), requests, failed
        )


@dataclass(frozen=True)
class Expectation:
    """One promise of the README, and what was seen of it."""

    promise: str
    kept: bool
    seen: str = ""


@dataclass(frozen=True)
class DemoReport:
    """A whole demo. `setup` is seconds by part; parts overlap."""

    address: str
    setup: Mapping[str, float]
    releases: tuple[ReleaseReport, ...]
    requests_sent: int
    requests_failed: int
    latency: Latency
    failures: tuple[str, ...]
    undone_because: str
    last_words: str
    expectations: tuple[Expectation, ...]
    monitoring: tuple[str, ...]
    seconds: float

    @property
    def succeeded(self) -> bool:
        return all(expectation.kept for expectation in self.expectations)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; keys are a contract, see docs/demo.md."""
        return {
            "succeeded": self.succeeded,
            "seconds": round(self.seconds, 1),
            "address": self.address,
            "requests_sent": self.requests_sent,
            "requests_failed": self.requests_failed,
            "failures": list(self.failures),
            "latency_ms": self.latency.model_dump(),
            "setup_seconds": {part: round(seconds, 1) for part, seconds in self.setup.items()},
            "releases": [
                {
                    "title": release.title,
                    "id": release.id,
                    "outcome": release.outcome,
                    "seconds": dict(release.seconds),
                    "total_seconds": release.total,
                    "requests": release.requests,
                    "failed": release.failed,
                }
                for release in self.releases
            ],
            "undone_because": self.undone_because,
            "expectations": [
                {"promise": each.promise, "kept": each.kept, "seen": each.seen} for each in self.expectations
            ],
            "monitoring": list(self.monitoring),
        }


def last_words(log: str, lines: int = 3) -> str:
    """What a container said of its end: the messages above INFO of its JSON log, or else its last lines."""
    grave = []
    for line in log.splitlines():
        with contextlib.suppress(ValueError, AttributeError):
            record = json.loads(line)
            if record.get("level") in ("warning", "error", "critical"):
                grave.append(f"{record['level']}: {record.get('message', '')}")
    return "\n".join(dict.fromkeys(grave[-lines:] or log.splitlines()[-lines:]))


def rendered(report: DemoReport, env: str) -> RenderableType:
    """The report for a person."""
    head = Text("\n✓ " if report.succeeded else "\n✗ ", style="bold green" if report.succeeded else "bold red")
    head.append(
        f"{report.requests_sent:,} requests, {report.requests_failed} failed, {len(report.releases)} releases, "
        f"{sum(release.outcome == 'undone' for release in report.releases)} undone, {report.seconds:.0f} s in all\n"
    )
    return Group(
        head, _releases(report.releases), _undone(report), _expectations(report.expectations), _next(report, env)
    )


def _releases(releases: Iterable[ReleaseReport]) -> Table:
    releases = tuple(releases)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("seconds", no_wrap=True)
    for release in releases:
        table.add_column(release.title, justify="right", no_wrap=True)
    phases = list(dict.fromkeys(phase for release in releases for phase in release.seconds))
    for phase in phases:
        cells = [release.seconds.get(phase) for release in releases]
        table.add_row(phase, *("" if cell is None else f"{cell:.2f}" for cell in cells))
    table.add_row("whole command", *(f"{release.total:.2f}" for release in releases), style="bold")
    table.add_row("requests meanwhile", *(f"{release.requests:,}" if release.requests else "" for release in releases))
    table.add_row("of these failed", *(str(release.failed) if release.requests else "" for release in releases))
    table.add_row(
        "outcome",
        *(Text(release.outcome, style="green" if release.outcome == "released" else "yellow") for release in releases),
    )
    table.add_row("release", *(release.id for release in releases), style="dim")
    return table


def _undone(report: DemoReport) -> Text:
    text = Text("\nUndone, because: ", style="bold")
    text.append(f"{report.undone_because or 'nothing was undone'}\n", style="not bold")
    for line in report.last_words.splitlines():
        text.append(f"  {line}\n", style="dim not bold")
    for failure in report.failures:
        text.append(f"✗ {failure}\n", style="red")
    return text


def _expectations(expectations: Iterable[Expectation]) -> Text:
    text = Text()
    for each in expectations:
        text.append("✓ " if each.kept else "✗ ", style="green" if each.kept else "bold red")
        text.append(each.promise)
        text.append(f" ({each.seen})\n" if each.seen else "\n", style="dim")
    return text


def _next(report: DemoReport, env: str) -> Text:
    watching = "".join(f"  {line}\n" for line in report.monitoring)
    return Text(
        f"The host is still there: {report.address}/docs\n"
        f"and is watched:\n{watching}"
        f"→ What runs there:   invoke status --env {env}\n"
        f"→ Who released what: invoke history --env {env}\n"
        f"→ Its logs:          invoke logs --env {env}\n"
        f"→ How it is watched: invoke observe --status --env {env}\n"
        f"→ One release back:  invoke rollback --env {env}\n"
        "→ Remove it all:     invoke demo --down"
    )
