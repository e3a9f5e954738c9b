"""Progress while it happens: a live table at a terminal, plain lines elsewhere, nothing but events for machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from portside.waiting import Waiting

SYMBOLS = {"running": "…", "done": "✓", "failed": "✗", "skipped": "–"}
# Told of only while somebody waits for them: they are over in no time, or end in an error.
UNSEEN = ("connect", "lock")
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
        self.waiting = Waiting()

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        self.waiting.told(host, phase, outcome, time.monotonic())
        if outcome == "running" or phase in UNSEEN:
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
    """A row per host, a column per phase, redrawn as they go. Of more hosts than there are lines, those at work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.waiting = Waiting()
        self._cells: dict[str, dict[str, Text]] = {}
        self._phases: list[str] = []
        self._live = Live(console=console, refresh_per_second=10, transient=False, get_renderable=self._table)

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        self.waiting.told(host, phase, outcome, time.monotonic())
        if phase in UNSEEN:
            return
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

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        if self._phases:
            table.add_column("host")
        for phase in self._phases:
            table.add_column(phase)
        # Above and below it: the line before, the heading, whom it waits for, how many are left out.
        shown, hidden = divided(self._cells, self._console.height - 4)
        for host in shown:
            table.add_row(host, *(self._cells[host].get(phase, Text("")) for phase in self._phases))
        if hidden:
            table.add_row(f"{len(hidden)} more", *(self._ended(phase, hidden) for phase in self._phases), style="dim")
        waiting = self.waiting.text(time.monotonic())
        return Group(table, Text(waiting, style="yellow")) if waiting else table

    def _ended(self, phase: str, hosts: Sequence[str]) -> str:
        count = sum(phase in self._cells[host] for host in hosts)
        return f"{SYMBOLS['done']} {count}" if count else ""


def divided(cells: Mapping[str, Mapping[str, Text]], room: int) -> tuple[list[str], list[str]]:
    """The hosts that are shown in `room` lines, and the others: first those at work or failed, in their order."""
    if len(cells) <= room:
        return list(cells), []
    unsettled = {STYLES["running"], STYLES["failed"]}
    ordered = sorted(cells, key=lambda host: not any(cell.style in unsettled for cell in cells[host].values()))
    return ordered[: max(room, 1)], ordered[max(room, 1) :]


def progress(console: Console) -> Lines | LiveTable:
    """What suits the console: a live table at a terminal, lines in a pipe or in CI, coloured or not."""
    return LiveTable(console) if console.is_terminal and console.file.isatty() else Lines(console)


@asynccontextmanager
async def reminded(reporter: Lines | LiveTable) -> AsyncIterator[None]:
    """While this lasts, plain lines say whom they wait for; a live table shows it by itself."""
    reminding = asyncio.create_task(_remind(reporter)) if isinstance(reporter, Lines) else None
    try:
        yield
    finally:
        if reminding:
            reminding.cancel()
            await asyncio.gather(reminding, return_exceptions=True)


async def _remind(reporter: Lines) -> None:
    while True:
        await asyncio.sleep(1)
        if said := reporter.waiting.due(time.monotonic()):
            reporter.say(said)


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
