"""One at a time, and never for ever."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from portside.errors import BuildError
from portside.image.turns import note, noted, state_folder, turn


async def test_two_tasks_take_turns(tmp_path: Path) -> None:
    log: list[str] = []

    async def work(name: str) -> None:
        async with turn("x", folder=tmp_path, timeout=5):
            log.append(f"{name} in")
            await asyncio.sleep(0.05)
            log.append(f"{name} out")

    await asyncio.gather(work("a"), work("b"))
    assert log in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])


async def test_waiting_for_a_turn_has_an_end(tmp_path: Path) -> None:
    async with turn("x", folder=tmp_path, timeout=1):
        with pytest.raises(BuildError, match="busy with x"):
            async with turn("x", folder=tmp_path, timeout=0.1):
                pass


async def test_different_names_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async with turn("x", folder=tmp_path, timeout=1), turn("y", folder=tmp_path, timeout=0.1):
        pass


def test_a_note_expires(tmp_path: Path) -> None:
    assert noted("r", folder=tmp_path, seconds=60) == ""
    note("r", "no such host", folder=tmp_path)
    assert noted("r", folder=tmp_path, seconds=60) == "no such host"
    for file in tmp_path.iterdir():
        os.utime(file, (1, 1))
    assert noted("r", folder=tmp_path, seconds=60) == ""


def test_state_is_closed_to_other_users(tmp_path: Path) -> None:
    assert state_folder({"XDG_CACHE_HOME": str(tmp_path)}).stat().st_mode & 0o077 == 0
