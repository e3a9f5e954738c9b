"""`invoke demo` and `invoke demo --down`, with what they print."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from portside.cli import Terminal, run
from portside.demo.ground import ENV, Ground, clear, insist_linux
from portside.demo.report import rendered
from portside.demo.story import play
from portside.image.turns import state_folder, turn

UNKEPT = 1
TURN_SECONDS = 1.0


def demo_command(*, down: bool, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        insist_linux(platform.system())
        ground = Ground(Path.cwd())
        async with turn(
            f"another `invoke demo` ({ground.name})", folder=state_folder(os.environ), timeout=TURN_SECONDS
        ):
            return await (_down(ground, terminal) if down else _play(ground, terminal))

    run(act, machine=machine)


async def _play(ground: Ground, terminal: Terminal) -> int:
    report = await play(ground, terminal.reporter)
    if terminal.machine:
        terminal.result(report.as_dict(), "")
    else:
        terminal.reporter.__exit__(None, None, None)
        terminal.out.print(rendered(report, ENV))
    return 0 if report.succeeded else UNKEPT


async def _down(ground: Ground, terminal: Terminal) -> int:
    removed, kept = await clear(ground)
    lines = [f"✓ The demo's host is gone, and {len(removed)} images that it had made or fetched"]
    lines += [f"  kept, because something uses it: {image}" for image in kept]
    lines.append("  What stays: the Docker Engine, and its build cache (`docker builder prune` empties that).")
    terminal.result({"images_removed": removed, "images_kept": kept}, "\n".join(lines))
    return 0
