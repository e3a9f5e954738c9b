"""What was measured, for people and for machines."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.scale.measure import TROUBLE_LATENCY, TROUBLED, Scale, met


def as_dict(scale: Scale) -> dict[str, Any]:
    return {
        "rounds": scale.rounds,
        "cells": [
            {
                "hosts": cell.hosts,
                "latency": cell.latency,
                "seconds": [round(run.seconds, 3) for run in cell.runs],
                "ratio": round(cell.ratio(scale.one(cell.latency)), 3),
                "processor": round(cell.processor, 3),
                "peak_mb": round(cell.peak_mb, 1),
                "exchanges": cell.exchanges,
            }
            for cell in scale.cells
        ],
        "troubles": [
            {
                "what": trouble.what,
                "seconds": round(trouble.deployed.seconds, 3),
                "exit_code": trouble.deployed.code,
                "told": trouble.told,
            }
            for trouble in scale.troubles
        ],
        "aims": [
            {"what": what, "value": round(value, 3), "aim": aim, "met": value <= aim} for what, value, aim in met(scale)
        ],
    }


def rendered(scale: Scale) -> RenderableType:
    cells = _table("latency", "hosts", "wall clock", "T(N)/T(1)", "processor", "memory", "exchanges per host")
    for cell in scale.cells:
        cells.add_row(
            f"{cell.latency * 1000:g} ms",
            str(cell.hosts),
            f"{cell.seconds:.2f} s ({min(r.seconds for r in cell.runs):.2f}–{max(r.seconds for r in cell.runs):.2f})",
            f"{cell.ratio(scale.one(cell.latency)):.2f}",
            f"{cell.processor:.2f} s",
            f"{cell.peak_mb:.0f} MB",
            str(cell.exchanges),
        )
    troubles = _table(f"of {TROUBLED} hosts, {TROUBLE_LATENCY * 1000:g} ms", "wall clock", "exit code", "told")
    for trouble in scale.troubles:
        troubles.add_row(
            trouble.what, f"{trouble.deployed.seconds:.1f} s", str(trouble.deployed.code), trouble.told[:120]
        )
    aims = [f"{what}: {value:.2f}, aim ≤ {aim:g} {'✓' if value <= aim else '✗'}" for what, value, aim in met(scale)]
    return Group(
        Text(f"\nsimulated hosts, a real deployer; latency is one direction's; {scale.rounds} rounds\n"),
        cells,
        Text(),
        troubles,
        Text("\n" + "\n".join(aims)),
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
