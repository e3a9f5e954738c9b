"""Where commands talk to: a log, a pipe, a reader who leaves, a disk that is full."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside import cli, containers
from portside.cli import Terminal
from portside.errors import CommandError, InterruptionError
from portside.facts import State
from portside.following import pass_on
from portside.host.local import LocalHost
from portside.report import Lines
from tests.unit import builders

ROOT = Path(__file__).parents[2]
SPEAKER = """
import sys
from pathlib import Path
from portside import cli

async def act(terminal):
    sys.stdin.readline()  # until the reader is gone
    for number in range(3):
        terminal.reporter.say(f"step {number}")
    Path("committed").touch()
    terminal.result({"released": "x" * 100_000}, "done")

cli.run(act, machine=sys.argv[1] == "machine")
"""
FOLLOWER = """
from portside import containers
from tests.unit.builders import current, state

async def read_states(hosts, site, *, full):
    return {hosts[0].name: state(current=current("20261123-154501-aaaaaa"))}

containers.read_states = read_states
containers.logs_command(
    "local", host=None, service=None, follow=True, tail="10", since=None, previous=False
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield tmp_path


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("way", ["person", "machine"])
def test_a_reader_who_leaves_ends_no_release(folder: Path, way: str) -> None:
    process = started(SPEAKER, way)
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate("go\n", timeout=60)
    assert (folder / "committed").exists()
    assert process.returncode == 0
    assert "Error" not in said and "✗" not in said
    assert not (folder / cli.CRASH_FILE).exists()


def test_logs_end_without_a_word_when_their_reader_has_seen_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = folder / "docker"
    docker.write_text("#!/bin/sh\nwhile :; do echo a line; done\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (folder / "portside.toml").write_text('[service]\nname = "links"\n[env.local]\n')
    process = started(FOLLOWER)
    assert process.stdout
    assert process.stdout.readline() == "a line\n"
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (cli.UNREAD, "")


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ({}, "--tail 100"),
        ({"since": "15m"}, "--tail all --since 15m"),
        ({"since": "15m", "tail": "10"}, "--tail 10 --since 15m"),
        ({"tail": "0"}, "--tail 0"),
    ],
)
def test_logs_since_a_time_are_all_lines_from_then_on(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: dict[str, str],
    asked: str,
) -> None:
    async def read_states(hosts: list[LocalHost], site: str, *, full: bool) -> dict[str, State]:
        return {hosts[0].name: builders.state(current=builders.current("r1"))}

    docker = folder / "docker"
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (folder / "portside.toml").write_text('[service]\nname = "links"\n[env.local]\n')
    monkeypatch.setattr(containers, "read_states", read_states)
    tail, since = typed.get("tail"), typed.get("since")
    containers.logs_command("local", host=None, service=None, follow=False, tail=tail, since=since, previous=False)
    assert capsys.readouterr().out.endswith(f" {asked}\n")


async def test_logs_that_can_t_be_had_are_an_error() -> None:
    with pytest.raises(CommandError, match="exit code 3"):
        await pass_on(LocalHost(), ["sh", "-c", "exit 3"], "")


def test_a_disk_that_is_full_doesn_t_hide_what_happened(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / cli.CRASH_FILE.parent).write_text("in the way of a folder")

    async def act(terminal: Terminal) -> None:
        raise ValueError("no such number")

    with pytest.raises(SystemExit) as ended:
        cli.run(act)
    assert ended.value.code == 70
    said = capsys.readouterr().err
    assert "no such number" in said
    assert f"{cli.CRASH_FILE} can't be written" in said


@pytest.mark.parametrize("stands", [False, True], ids=["nothing was released", "it is committed"])
def test_who_is_interrupted_says_so_to_machines_too(stands: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def act(terminal: Terminal) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not stands:
                raise
            raise InterruptionError("interrupted; release r2 is committed and serves", where="prod") from None

    with pytest.raises(SystemExit) as ended:
        cli.run(act, machine=True)
    assert ended.value.code == 130
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["exit_code"] == 130
    assert said["error"] == ("interrupted; release r2 is committed and serves" if stands else "interrupted")
    assert f"✗ {'prod: ' if stands else ''}{said['error']}" in err


def test_colours_in_a_log_make_no_terminal_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal = Terminal(machine=False)
    assert isinstance(terminal.reporter, Lines)
    assert terminal.out.width == 200


def test_an_address_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(machine=False)
    terminal.result({}, "fd00:a:b::1")
    terminal.reporter.say("fd00:a:b::1")
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second.partition(" ")[2]) == ("fd00:a:b::1", "fd00:a:b::1")
