"""Progress while it happens: a live table at a terminal, plain lines elsewhere, nothing but events for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

SYMBOLS = {"running": "…", "done": "✓", "failed": "✗", "skipped": "–"}
STYLES = {"running": "yellow", "done": "green", "failed": "bold red", "skipped": "dim"}


class Reporter(Protocol):
    """Who is told what happens. `phase` is a word of the release protocol, `host` a host's name."""

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...


@dataclass
class Timings:
    """Seconds per phase: the slowest host's, since hosts go through a phase side by side."""

    phases: dict[str, float] = field(default_factory=dict)

    def add(self, phase: str, seconds: float) -> None:
        self.phases[phase] = round(self.phases.get(phase, 0.0) + seconds, 3)


class Lines:
    """Plain lines with the time of day."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        if outcome == "running":
            return
        took = f" {seconds:.2f} s" if seconds else ""
        self.say(f"{host}: {phase} {outcome}{took}{' – ' + note if note else ''}")

    def say(self, text: str) -> None:
        self._console.print(f"{datetime.now():%H:%M:%S} {text}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveTable:
    """A row per host, a column per phase, redrawn as they go."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cells: dict[str, dict[str, Text]] = {}
        self._phases: list[str] = []
        self._live = Live(console=console, refresh_per_second=10, transient=False, get_renderable=self._table)

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        if phase not in self._phases:
            self._phases.append(phase)
        took = f" {seconds:.1f} s" if seconds else ""
        self._cells.setdefault(host, {})[phase] = Text(f"{SYMBOLS[outcome]}{took}", style=STYLES[outcome])
        if note:
            self.say(f"{host}: {note}")

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        if self._phases:
            table.add_column("host")
        for phase in self._phases:
            table.add_column(phase)
        for host, cells in self._cells.items():
            table.add_row(host, *(cells.get(phase, Text("")) for phase in self._phases))
        return table


def progress(console: Console) -> Lines | LiveTable:
    """What suits the console: a live table at a terminal, lines in a pipe or in CI."""
    return LiveTable(console) if console.is_terminal else Lines(console)


@contextmanager
def timed(reporter: Reporter, host: str, phase: str) -> Iterator[None]:
    """Report one phase of one host, whatever its outcome."""
    reporter.phase(host, phase, "running")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        reporter.phase(host, phase, "failed", time.monotonic() - began)
        raise
    reporter.phase(host, phase, "done", time.monotonic() - began)
