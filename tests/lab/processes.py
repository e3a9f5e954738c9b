"""The argument lists of every process meanwhile, of this machine and of a lab host."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portside.lab.values import LabHost
from tests.lab.project import Project

EVERY = 0.005


@contextmanager
def argument_lists() -> Iterator[set[str]]:
    """This machine's, gathered until the end of the block."""
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(entry.read_text(errors="replace").replace("\0", " "))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join(5)


@contextmanager
def argument_lists_on(project: Project, host: LabHost) -> Iterator[list[str]]:
    """A host's; they are there after the block."""
    sampling = "while :; do ps -eo args; sleep 0.02; done >/tmp/ps.log & echo $! >/tmp/ps.pid"
    project.shell(host, "bash", "-c", f"nohup bash -c '{sampling}' >/dev/null 2>&1")
    seen: list[str] = []
    try:
        yield seen
    finally:
        project.shell(host, "bash", "-c", "kill $(cat /tmp/ps.pid)")
        # A minute's samples repeat themselves.
        seen += project.shell(host, "sort", "--unique", "/tmp/ps.log").splitlines()
        project.shell(host, "rm", "/tmp/ps.log", "/tmp/ps.pid")
