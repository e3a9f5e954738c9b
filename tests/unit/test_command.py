"""Which session a command is in, and that it ends with all that it started."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from portside.command import run_command
from portside.errors import CommandError

TELL = [sys.executable, "-c", "import os; print(os.getsid(0), os.getpgid(0) == os.getpid())"]


@pytest.mark.parametrize("terminal", [True, False])
async def test_only_who_is_to_know_the_terminal_stays_in_our_session(terminal: bool) -> None:
    session, leads = (await run_command(TELL, timeout=30, terminal=terminal)).text.split()
    assert (session == str(os.getsid(0))) == terminal
    assert leads == "True"


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [True, False])
async def test_what_takes_too_long_ends_with_its_children(tmp_path: Path, terminal: bool) -> None:
    kept = tmp_path / "child"
    script = f'sleep 600 & echo "$!" >"{kept}"; wait'
    with pytest.raises(CommandError, match="did not finish within 4 s"):
        await run_command(["bash", "-c", script], timeout=4, terminal=terminal)
    await has_ended(int(kept.read_text()))


async def has_ended(process: int) -> None:
    """A killed process takes a moment to be gone, and whoever collects orphans may be late."""
    async with asyncio.timeout(30):
        while state_of(process) not in ("gone", "Z"):
            await asyncio.sleep(0.05)


def state_of(process: int) -> str:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return status.rpartition(")")[2].split()[0]
