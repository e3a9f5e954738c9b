"""What was measured, for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.serving.load import CONNECTIONS
from bench.serving.measure import AIM, Serving, Turn
from bench.serving.processes import WORKERS


def rendered(results: Serving) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(("", "", "requests a second", "processor time each", "ratio", "aim", "")):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    for route in results.routes:
        met = Text("✓", style="green") if route.ratio >= AIM else Text("✗", style="bold red")
        table.add_row(route.path, "production", *_turns(route.production), f"{route.ratio:.2f}×", f"≥ {AIM:g}×", met)
        table.add_row("", "bare Uvicorn", *_turns(route.bare))
        table.add_row("", "ratio of processor times", "", "", f"{route.processor_ratio:.2f}×")
    return Group(
        Text(
            f"\n{WORKERS} workers on {results.serving_cores} core(s), {CONNECTIONS} connections; "
            f"{results.rounds} rounds; median (min–max)\n"
        ),
        table,
        Text(f"\na scrape: {results.scrape_seconds * 1000:.1f} ms, {results.scrape_bytes:,} bytes\n"),
    )


def _turns(turns: Sequence[Turn]) -> tuple[str, str]:
    rates = [turn.per_second for turn in turns]
    each = [turn.microseconds_each for turn in turns]
    return (
        f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
        f"{median(each):.0f} µs ({min(each):.0f}–{max(each):.0f})",
    )
