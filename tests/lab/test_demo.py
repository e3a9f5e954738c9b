"""The demo, whole: it is the first thing that anybody types."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from portside.demo.ground import ENV, MADE, Ground, clear
from portside.demo.report import DemoReport
from portside.demo.story import play
from portside.errors import ConfigError
from portside.lab.values import load_lab
from portside.playground import state_dir
from portside.report import Lines
from tests.lab.faults import as_root
from tests.lab.project import wait_until

ROOT = Path(__file__).parents[2]
# Until the demo's second release: before it, images are built and a host is made.
SECOND_SECONDS = 300.0


class Quiet(Lines):
    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def ground(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A demo of its own, in a copy of the tree: nobody else's demo is touched."""
    root = tmp_path_factory.mktemp("demo") / "tree"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    ground = Ground(root, f"{lab_name}-demo")
    yield ground
    # Base images are shared with the other tests.
    (root / MADE).unlink(missing_ok=True)
    asyncio.run(clear(ground))


def kept(report: DemoReport) -> None:
    assert [each.promise for each in report.expectations if not each.kept] == [], report.as_dict()
    assert report.requests_failed == 0
    assert report.requests_sent > 500
    assert [release.outcome for release in report.releases] == ["released", "released", "undone"]
    assert "bake" in report.undone_because


def played(ground: Ground) -> None:
    """In a process of its own."""
    asyncio.run(play(ground, Quiet()))


def starts(ground: Ground) -> int:
    """How many releases the demo's host has begun to start."""
    try:
        host = load_lab(state_dir(ground.root, ground.name)).hosts[0]
    except ConfigError:
        return 0
    journal = f"/home/deploy/.portside/sites/{ground.config.service.name}-{ENV}/journal.jsonl"
    found = asyncio.run(as_root(host, ["grep", "-c", '"phase":"start","event":"begin"', journal]))
    return int(found.text or 0)


def test_the_demo_keeps_its_promises_after_one_that_was_killed_in_its_second_release(ground: Ground) -> None:
    first = multiprocessing.get_context("spawn").Process(target=played, args=(ground,))
    first.start()
    try:
        wait_until(
            lambda: not first.is_alive() or starts(ground) > 1, seconds=SECOND_SECONDS, what="the second release"
        )
        assert first.is_alive(), "the demo ended by itself"
    finally:
        first.kill()
        first.join()
    again = Quiet()
    kept(asyncio.run(play(ground, again)))
    assert any("is there from the last demo" in line for line in again.said)
