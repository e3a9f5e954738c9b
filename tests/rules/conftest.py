"""The real promtool and amtool, fetched when the machine has none; without them these tests fail and say why."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from portside.tools import AMTOOL, PROMTOOL, Tool, ensure_tool

ROOT = Path(__file__).parents[2]

# Arguments in, what the program printed out; it fails the test when the program doesn't end as it should.
Run = Callable[..., str]


def runner(tool: Tool) -> Run:
    program = asyncio.run(ensure_tool(tool, print))

    def run(*arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, said
        return said

    return run


@pytest.fixture(scope="session")
def promtool() -> Run:
    return runner(PROMTOOL)


@pytest.fixture(scope="session")
def amtool() -> Run:
    return runner(AMTOOL)
