"""Whatever a host says, it is understood or is an error that names the host; a damaged journal loses lines, no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.scale.host import SimulatedHost
from portside import steps
from portside.bootstrap import parse_facts
from portside.config import Judge
from portside.errors import HostError, LockError, PortsideError
from portside.facts import parse_state
from portside.host.script import SCRIPTS, script_text
from portside.image.transport import known_chains
from portside.journal import Entry, line, parse_journal, unfinished
from portside.judge.looks import parse_look
from portside.lock import _held
from portside.observe.look import parse as parse_observed
from portside.proxy_admin import Admin
from portside.release import archive, release_files
from tests.unit import builders
from tests.unit.fuzz.examples import FUZZED, HOSTILE_TEXT, damaged


def real_state() -> str:
    """What a host says after one release, the lock held: made by the simulated host, which speaks as emit.sh does."""
    host = SimulatedHost("sim-001")
    release = builders.release()
    operation = builders.operation(release=release.id, previous=None, service="links", env="prod")
    host.lease("links-prod", "30", "1", '{"owner":"me@here","operation":"deploy","message":""}')

    class Nowhere:
        name = "sim-001"

    target = steps.Target(Nowhere(), "links-prod", "1", builders.state(), operation)  # type: ignore[arg-type]
    files = archive(release_files(release, {"A": "b"}))
    for step in (
        steps.prepare(release, files, proven=False),
        steps.start(target, release, 10),
        steps.switch(operation, release, 10),
    ):
        _, _, _, _, site, *arguments = step.argv(target)
        said = host.run(step.script, site, arguments, step.stdin if isinstance(step.stdin, bytes) else b"")
        assert said.code == 0, said
    return host.run("state", "links-prod", ["links:sha-1"], b"").out


STATE = real_state()
LOOK = "@@container old a ready answered\nhttp_requests_total 3\n@@container new b unready silent\n@@lines old 3 1.5\n"
FACTS = 'os_release ID=debian\nos_release PRETTY_NAME="Debian 12"\nuid 0\nengine 26.1.5\nssh_port 22\nufw_port 22\n'
ALERTS = json.dumps([{"labels": {"a": "b"}, "annotations": {}, "startsAt": "2026"}])
TARGETS = json.dumps({"data": {"activeTargets": [], "result": [{"metric": {"host": "a"}, "value": [1, "2"]}]}})
OBSERVED = (
    "@@containers\ngrafana running healthy 0 172.1.1.1\n@@ready_grafana\nHTTP/1.0 200 OK\r\n\r\n\n"
    f"@@alerts\nHTTP/1.0 200 OK\r\n\r\n{ALERTS}\n@@targets\nHTTP/1.0 200 OK\r\n\r\n{TARGETS}\n"
)
HELD = '1800000000 1800000030 {"since":1800000000,"owner":"me","operation":"deploy","message":"m"}'


def test_the_simulated_host_speaks_as_a_real_one() -> None:
    state = parse_state(STATE, "sim-001")
    assert state.releases and state.containers and state.machine and state.images and state.holder
    assert [entry.phase for entry in state.journal] == ["prepare", "prepare", "start", "start", "switch", "switch"]
    said = {part.partition("\n")[0] for part in STATE.split("@@")[1:]}
    real = script_text("state")
    assert all(f"@@{section}\\n" in real for section in said), "every section is one that emit.sh or state.sh prints"


def test_the_simulated_host_knows_every_script_of_a_deploy() -> None:
    known = {name for name in SCRIPTS if hasattr(SimulatedHost, f"_{name}")}
    assert {"prepare", "start", "switch", "commit", "retire", "undo"} <= known


@FUZZED
@given(damaged(STATE) | HOSTILE_TEXT)
@example(STATE.replace('"since":', '"since":9999999999999999999, "x":'))
@example(STATE.replace('"since":', '"since":' + "[" * 3000))
def test_a_damaged_state_is_understood_or_an_error_that_names_the_host(text: str) -> None:
    understood(lambda: parse_state(text, "web-1"), HostError, "web-1")


@FUZZED
@given(damaged(HELD) | HOSTILE_TEXT)
def test_a_damaged_lock_still_says_which_host_is_locked(said: str) -> None:
    error = _held("web-1", said, "prod")
    assert isinstance(error, LockError) and error.where == "web-1"


@FUZZED
@given(st.lists(st.sampled_from(["prepare", "start", "commit", "undo"]), max_size=4), HOSTILE_TEXT, st.data())
def test_a_damaged_journal_loses_the_damaged_lines_alone(phases: list[Any], reason: str, data: st.DataObject) -> None:
    operation = builders.operation()
    lines = [f'{{"at":1,{line(operation, phase, "end", reason)[1:]}' for phase in phases]
    broken = data.draw(damaged("@journal line")).replace("\n", " ").replace("@@", "")
    before = ["@@time", "1", "@@base", "/b", "@@current", "@@route", "@@maintenance", "@@proxy_config", "@@lock"]
    after = ["@@releases", "@@containers", "@@proxy", "@@agent", "@@accessories"]
    text = "\n".join([*before, "@@journal", *lines, broken, *after])
    entries = parse_state(text, "web-1").journal
    assert [(entry.phase, entry.reason) for entry in entries] == [(phase, reason) for phase in phases]


@FUZZED
@given(st.lists(damaged(f'{{"at":1,{line(builders.operation(), "start", "begin", "why")[1:]}'), max_size=4))
def test_any_journal_is_finished_or_says_what_is_left(lines: list[str]) -> None:
    entries = parse_journal(lines)
    found = unfinished({"a": entries}, set())
    assert found is None or found.any.id
    assert all(isinstance(entry, Entry) and entry.when for entry in entries)


@FUZZED
@given(damaged(LOOK) | HOSTILE_TEXT)
def test_a_damaged_look_of_the_judge_is_as_if_it_were_not_there(text: str) -> None:
    parse_look(text, Judge())


@FUZZED
@given(damaged(FACTS) | HOSTILE_TEXT)
def test_damaged_facts_of_a_machine_are_understood_or_an_error_that_names_it(text: str) -> None:
    understood(lambda: parse_facts(text, "web-1"), HostError, "web-1")


@FUZZED
@given(damaged(OBSERVED) | HOSTILE_TEXT)
def test_a_damaged_look_at_the_monitoring_stack_is_understood_or_an_error(text: str) -> None:
    understood(lambda: parse_observed(text), PortsideError)


@FUZZED
@given(damaged('["sha256:1","sha256:2"]\nnull\n["sha256:3"]') | HOSTILE_TEXT)
def test_damaged_lists_of_layers_are_layers_that_are_not_there(text: str) -> None:
    known_chains(text)


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"[[", b'[{"address":"a"}]', b"null", b"\xff", b'[{"address":[],"num_requests":1}]']
)
async def test_a_proxy_that_answers_nonsense_is_an_error_that_names_the_host(body: bytes, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body if body else b"")
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "admin.sock"):
        with pytest.raises(HostError) as caught:
            await Admin(tmp_path / "admin.sock", "web-1").active_requests()
    assert caught.value.where == "web-1"


def understood(parse: Callable[[], object], error: type[PortsideError], where: str = "") -> None:
    try:
        parse()
    except error as caught:
        assert where in caught.where
