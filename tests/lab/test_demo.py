"""The demo, whole: it is the first thing that anybody types."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from portside.demo.ground import ENV, MADE, Ground, clear
from portside.demo.report import DemoReport
from portside.demo.story import play
from portside.lab.values import load_lab
from portside.playground import state_dir
from portside.report import Lines
from tests.lab.faults import as_root

ROOT = Path(__file__).parents[2]


class Quiet(Lines):
    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def ground(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A demo of its own, in a copy of the tree: nobody else's demo is touched."""
    import asyncio  # noqa: PLC0415 - for the clean-up alone

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


async def test_the_demo_keeps_its_promises_and_does_again_after_one_that_was_killed(ground: Ground) -> None:
    kept(await play(ground, Quiet()))
    host = load_lab(state_dir(ground.root, ground.name)).hosts[0]
    # As a deployer leaves it that is killed between start and switch.
    journal = f"/home/deploy/.portside/sites/{ground.config.service.name}-{ENV}/journal.jsonl"
    line = (await as_root(host, ["grep", "-m1", '"phase":"start","event":"begin"', journal])).check().stdout
    (await as_root(host, ["tee", "-a", journal], stdin=line)).check()
    again = Quiet()
    kept(await play(ground, again))
    assert any("is there from the last demo" in line for line in again.said)
