"""`invoke bench --only paging`: seconds from a fault to the page, with what is shipped and on its own clock."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from portside.lab.hosts import start_hosts, stop_hosts
from portside.report import Reporter
from tests.lab.paged import Paged, paged

NAME = "portside-bench-paging"
# The longest is a CPU: 5 minutes' average over its limit, for 5 minutes.
WITHIN = 900.0


@dataclass(frozen=True)
class Page:
    """Which alert a fault led to, and how many seconds after its beginning Slack had the message (None: never)."""

    fault: str
    alert: str
    seconds: float | None


def measure_paging(reporter: Reporter) -> tuple[Page, ...]:
    """Two lab hosts, the service, the stack, and one fault after the other; about 20 minutes."""
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as scratch:
        folder = Path(scratch)
        asyncio.run(stop_hosts(NAME))
        try:
            lab = asyncio.run(start_hosts(2, name=NAME, state_dir=folder / "lab", say=reporter.say))
            with paged(folder / "project", lab, factor=1) as world:
                return _pages(world, reporter)
        finally:
            asyncio.run(stop_hosts(NAME))


def _pages(world: Paged, reporter: Reporter) -> tuple[Page, ...]:
    found: list[Page] = []

    def told(fault: str, alert: str, began: float) -> None:
        # One that doesn't come is a figure as well, and the others are still to be had.
        with contextlib.suppress(AssertionError):
            world.page(alert, since=began, within=WITHIN)
        page = Page(fault, alert, world.seconds.get(alert))
        found.append(page)
        reporter.say(f"{fault}: {alert} {_took(page)}")

    def one(fault: str, alert: str, going_wrong: Callable[[], AbstractContextManager[None]]) -> None:
        began = time.monotonic()
        with going_wrong():
            told(fault, alert, began)

    # Warnings first: a service that has used up its error budget mutes them. Side by side: none of these mutes another,
    # and the CPU alone takes ten minutes.
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        stack.enter_context(world.full())
        stack.enter_context(world.slow())
        stack.enter_context(world.busy())
        world.kill_workers(5)
        told("five workers killed", "WorkerDiesRepeatedly", began)
        told("a disk filled", "HostDiskFull", began)
        told("requests slowed down", "HighLatency", began)
        told("every core busy", "HostCpuBusy", began)
    one("requests fail", "HighErrorRatio", world.failing)
    one("the web containers stopped", "ServiceDown", lambda: world.stopped("links-lab-blue-web"))
    one("the agent stopped", "AgentGone", lambda: world.stopped("portside-agent-prometheus"))
    return tuple(found)


def as_dict(pages: tuple[Page, ...]) -> list[dict[str, Any]]:
    return [
        {"fault": page.fault, "alert": page.alert, "seconds": page.seconds and round(page.seconds, 1)} for page in pages
    ]


def rendered(pages: tuple[Page, ...]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("fault", "alert"):
        table.add_column(column, no_wrap=True)
    table.add_column("fault to page", justify="right", no_wrap=True)
    for page in sorted(pages, key=lambda page: page.seconds or WITHIN):
        table.add_row(page.fault, page.alert, _took(page))
    return Group(Text("\nfrom a fault to the message, with the rules and waits that are shipped\n"), table)


def _took(page: Page) -> str:
    return f"not within {WITHIN:.0f} s" if page.seconds is None else f"after {page.seconds:.0f} s"
