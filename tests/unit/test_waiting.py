"""Whoever waits is told for whom, and nobody waits without an end."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from portside.command import shown
from portside.errors import HostError
from portside.fleet import everywhere
from portside.host import local
from portside.host.local import LocalHost
from portside.host.script import script_argv
from portside.report import Lines, LiveTable, timed
from portside.waiting import PATIENCE, Waiting, named


def test_a_straggler_is_named_with_its_phase_and_since_when() -> None:
    waiting = Waiting()
    for number in range(1, 9):
        waiting.told(f"web-{number}", "start", "running", 100.0)
    for number in range(1, 9):
        if number != 7:
            waiting.told(f"web-{number}", "start", "done", 101.0)
    assert waiting.text(100.0 + PATIENCE - 1) == ""
    assert waiting.text(112.0) == "waiting for web-7 (start, 12 s)"
    waiting.told("web-7", "start", "failed", 113.0)
    assert waiting.text(200.0) == ""


def test_of_many_stragglers_those_that_take_longest_are_named() -> None:
    waiting = Waiting()
    for number in range(20):
        waiting.told(f"web-{number}", "prepare", "running", float(number) / 10)
    text = waiting.text(60.0)
    assert text.startswith("waiting for web-0 (prepare, 60 s), web-1 ")
    assert text.endswith(" and 15 more")


def test_a_log_says_it_less_and_less_often() -> None:
    waiting = Waiting()
    waiting.told("web-7", "start", "running", 0.0)
    told = [second for second in range(200) if waiting.due(float(second))]
    assert told[0] == PATIENCE
    assert all(later >= 2 * earlier for earlier, later in pairwise(told))


def test_connecting_and_locking_are_told_of_only_while_somebody_waits() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out))
    with timed(lines, "web-7", "connect"):
        assert "web-7 (connect" in lines.waiting.text(10**9)
    assert out.getvalue() == ""


def test_a_live_table_of_more_hosts_than_lines_shows_those_at_work_and_counts_the_others() -> None:
    console = Console(file=io.StringIO(), width=100, height=12)
    table = LiveTable(console)
    for number in range(100):
        table.phase(f"web-{number}", "start", "running")
        if number not in (42, 77):
            table.phase(f"web-{number}", "start", "done", 1.0)
    with console.capture() as captured:
        console.print(table._table())
    shown_lines = captured.get().splitlines()
    assert len(shown_lines) <= 12
    assert [line.split()[0] for line in shown_lines[1:3]] == ["web-42", "web-77"]
    assert "92 more" in shown_lines[-1] and "92" in shown_lines[-1].split("✓")[1]


def test_hosts_in_a_line_are_few() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named([str(number) for number in range(100)]) == "0, 1, 2, 3, 4 and 95 more"


async def test_no_more_than_so_many_are_at_work_at_any_time_and_the_next_begins_when_one_has_ended() -> None:
    at_work, most, ended = 0, 0, 0

    async def act(_: int) -> None:
        nonlocal at_work, most, ended
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        ended += 1

    await everywhere(range(10), act, at_once=3)
    assert (most, ended) == (3, 10)


async def test_who_waits_for_its_turn_when_another_fails_never_begins() -> None:
    begun = []

    async def act(number: int) -> None:
        begun.append(number)
        raise HostError("it broke", where=f"web-{number}")

    with pytest.raises(HostError, match="it broke"):
        await everywhere(range(5), act, at_once=1)
    assert begun == [0]


def test_a_script_that_ran_out_of_time_is_known_by_its_name() -> None:
    assert shown(script_argv("start", "links-prod", "3"), 80) == "portside-start links-prod 3"


async def test_what_does_not_listen_when_it_is_told_to_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    deaf = ["bash", "-c", "trap '' TERM; while :; do sleep 0.1; done", "deaf"]
    with pytest.raises(HostError, match="did not finish"):
        await LocalHost().run(deaf, timeout=0.2)


async def test_what_does_not_listen_is_killed_also_by_who_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = asyncio.Timeout.__aenter__

    async def entered(timeout: asyncio.Timeout) -> asyncio.Timeout:
        await enter(timeout)
        # As Python before 3.11.3 has it, Debian 12's: it knows of no cancellation that came before.
        timeout._cancelling = 0  # type: ignore[attr-defined]
        return timeout

    monkeypatch.setattr(asyncio.Timeout, "__aenter__", entered)
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    deaf = f"trap '' TERM; echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; while :; do sleep 0.1; done"
    running = asyncio.create_task(LocalHost().run(["bash", "-c", deaf, "deaf"], timeout=60))
    while not (tmp_path / "pid").exists():
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_a_command_that_reads_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SEND_SECONDS", 0.1)
    channel = await LocalHost().open(["sleep", "60"])
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    await channel.send(b"x" * 1_000_000)
    channel._process.kill()  # type: ignore[attr-defined]
    await channel.close()


async def test_input_that_can_t_be_read_ends_a_command_that_waits_for_it() -> None:
    async def input_that_fails() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise HostError("the rest is gone")

    async with asyncio.timeout(20):
        with pytest.raises(HostError, match="the rest is gone"):
            await LocalHost().run(["cat"], stdin=input_that_fails(), timeout=60)
