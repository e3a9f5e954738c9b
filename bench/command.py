"""`invoke bench`, with what it prints."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.measure import measure
from bench.serving.measure import measure_serving
from bench.serving.report import rendered as rendered_serving
from bench.values import Results
from portside.cli import Terminal, number, project, run
from portside.engine import ensure_engine
from portside.errors import ConfigError

# Those that an `invoke bench` without --only measures. Paging takes 20 minutes of waiting; the judge, and the hosts of
# scale, are simulated.
USUAL = ("serving", "releases")
PARTS = (*USUAL, "judge", "paging", "scale")
MOST_ROUNDS = 1000

# What a part found: for machines, and for people.
Found = tuple[Any, RenderableType]


def bench_command(*, rounds: str, only: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        count = number(rounds, "--rounds", 1, MOST_ROUNDS)
        if only not in (None, *PARTS):
            raise ConfigError(f"there is no such part: {only}", where="--only", remedy=f"one of {', '.join(PARTS)}")
        found: dict[str, Any] = {}
        if only in (None, "serving"):
            # In a thread: wrk and the servers are waited for, and Ctrl-C reaches them by itself.
            serving = await asyncio.to_thread(measure_serving, terminal.reporter, rounds=count)
            found["serving"] = serving.as_dict()
            if not terminal.machine:
                terminal.out.print(rendered_serving(serving))
        if only in (None, "releases"):
            config = project()
            await ensure_engine(terminal.reporter.say)
            releases = await measure(config, terminal.reporter, rounds=count)
            found |= releases.as_dict()
            if not terminal.machine:
                terminal.out.print(rendered(releases))
        if only in OTHERS:
            data, shown = await OTHERS[only](terminal, count)
            found[only] = data
            if not terminal.machine:
                terminal.out.print(shown)
        if terminal.machine:
            terminal.result(found, "")

    run(act, machine=machine)


async def _judge(terminal: Terminal, _: int) -> Found:
    from bench import judge  # noqa: PLC0415 - as below

    cells = await asyncio.to_thread(judge.measure_judge, terminal.reporter.say)
    return judge.as_dict(cells), judge.rendered(cells)


async def _paging(terminal: Terminal, _: int) -> Found:
    # Imported here: it needs what the lab tests need.
    from bench import paging  # noqa: PLC0415

    await ensure_engine(terminal.reporter.say)
    pages = await asyncio.to_thread(paging.measure_paging, terminal.reporter)
    return paging.as_dict(pages), paging.rendered(pages)


async def _scale(terminal: Terminal, rounds: int) -> Found:
    from bench.scale.measure import measure_scale  # noqa: PLC0415 - as above
    from bench.scale.report import as_dict, rendered  # noqa: PLC0415

    scale = await asyncio.to_thread(measure_scale, project().root, terminal.reporter.say, rounds=rounds)
    return as_dict(scale), rendered(scale)


OTHERS = {"judge": _judge, "paging": _paging, "scale": _scale}


def rendered(results: Results) -> RenderableType:
    return Group(
        Text(f"\n{results.machine}; {results.rounds} rounds; median (min–max)\n"),
        _figures(results),
        Text(),
        _counts(results),
        Text(),
        *(
            Text(f"{command}: {', '.join(f'{phase} {seconds:.2f} s' for phase, seconds in phases.items())}")
            for command, phases in results.phases.items()
        ),
    )


def _figures(results: Results) -> Table:
    table = _table("", "ours", "theirs", "ratio", "aim", "")
    for figure in results.figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}×"
        aim = "" if figure.aim is None else f"≤ {figure.aim:g}{'×' if figure.theirs else ' s'}"
        theirs = f"{figure.theirs}" if figure.theirs else ""
        table.add_row(figure.what, str(figure.ours), theirs, ratio, aim, _mark(figure.met))
    return table


def _counts(results: Results) -> Table:
    table = _table("", "", "aim", "")
    for count in results.counts:
        aim = "" if count.aim is None else f"≤ {count.aim}"
        table.add_row(count.what, f"{count.value:,}", aim, _mark(count.met))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _mark(met: bool | None) -> Text:
    if met is None:
        return Text("")
    return Text("✓", style="green") if met else Text("✗", style="bold red")
