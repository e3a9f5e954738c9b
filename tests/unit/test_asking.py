"""Asking a person at a terminal, before an environment is changed."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from portside.cli import Terminal
from portside.errors import ConfigError
from tests.unit import builders

ASKS = builders.config().environment("prod").model_copy(update={"confirm": True})


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where to write what is typed."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield ours
    os.close(ours)


@pytest.mark.parametrize(("typed", "agreed"), [("y", True), ("Yes", True), ("n", False), ("", False)])
async def test_all_goes_on_while_somebody_thinks(
    keyboard: int, capsys: pytest.CaptureFixture[str], typed: str, agreed: bool
) -> None:
    """A lease that nobody renews meanwhile would be somebody else's before the answer."""
    asking = asyncio.create_task(Terminal(machine=False).agreed("Release r2?", ASKS, yes=False))
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert not asking.done()
    os.write(keyboard, f"{typed}\n".encode())
    assert await asyncio.wait_for(asking, 10) is agreed
    assert "Release r2? [y/N]" in capsys.readouterr().out


async def test_the_question_is_no_part_of_a_json_object(keyboard: int, capsys: pytest.CaptureFixture[str]) -> None:
    os.write(keyboard, b"y\n")
    assert await Terminal(machine=True).agreed("Release r2?", ASKS, yes=False)
    assert capsys.readouterr().out == ""


async def test_ctrl_c_ends_the_question(keyboard: int) -> None:
    asking = asyncio.create_task(Terminal(machine=False).agreed("Release r2?", ASKS, yes=False))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # Nobody listens any more, and a next question would get the next answer.
    os.write(keyboard, b"n\n")
    assert not await Terminal(machine=False).agreed("Release r3?", ASKS, yes=False)


async def test_nobody_to_ask_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigError, match="there is nobody to ask"):
        await Terminal(machine=False).agreed("Release r2?", ASKS, yes=False)
    assert await Terminal(machine=False).agreed("Release r2?", ASKS, yes=True)
