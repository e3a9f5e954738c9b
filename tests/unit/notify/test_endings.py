"""How an operation ends, and what is told of it. Nothing that goes wrong in telling reaches a release."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from portside.config import Config
from portside.errors import HostError, ReleaseError, UnfinishedError
from portside.host.local import LocalHost
from portside.journal import Kind
from portside.notices import Ending, Notices
from portside.notify import http, tell
from portside.outcome import Outcome
from portside.secrets import resolve_one
from portside.steps import Target
from tests.unit import builders
from tests.unit.notify.telling import SECRET, Receiver, told_by


class Said:
    """Who is told what happens: keeps it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        self.lines.append(text)


async def ended(
    config: Config, error: BaseException | None, outcome: Outcome | None = None, *, kind: Kind = "deploy"
) -> Said:
    """A deploy or a rollback that is committed, or ends with `error`."""
    operation = builders.operation(kind=kind, previous="r1")
    targets = [Target(LocalHost(), "links-prod", "1", builders.state(), operation)]
    said = Said()
    try:
        async with Notices(config, config.environment("prod"), said) as notices:
            with Ending(notices, targets, builders.release("r2")) as ending:
                ending.outcome = outcome
                if error is not None:
                    raise error
                ending.committed()
    except BaseException as raised:
        assert raised is error
    return said


def outcome_of(*phases: str, ended: str = "undone", reason: str = "it died: web-1, bake") -> Outcome:
    outcome = Outcome("r2", "r1", ended, reason=reason)
    for phase in phases:
        outcome.timings.add(phase, 1)
    return outcome


UNDONE = ReleaseError("release r2 was undone")


@pytest.mark.parametrize(
    ("error", "outcome", "told"),
    [
        (None, outcome_of("switch", ended="released", reason=""), ("released", "")),
        (UNDONE, outcome_of("prepare", "start"), ("failed", "it died: web-1, bake")),
        (UNDONE, outcome_of("prepare", "start", "switch", "bake"), ("undone", "it died: web-1, bake")),
        (asyncio.CancelledError(), outcome_of("start", reason="interrupted"), ("failed", "interrupted")),
        (HostError("gone", where="web-1"), None, ("failed", "gone: web-1")),
        (asyncio.CancelledError(), outcome_of("switch", "commit", ended="released", reason=""), ("released", "")),
        (
            asyncio.CancelledError(),
            outcome_of("switch", "commit", ended="unfinished", reason=""),
            ("unfinished", "interrupted while it was committed"),
        ),
        (
            UnfinishedError("can't be undone on web-1"),
            outcome_of("switch"),
            ("unfinished", "can't be undone on web-1;"),
        ),
        (UnfinishedError("not recorded"), outcome_of("commit", ended="released", reason=""), ("unfinished", "not rec")),
        (ValueError("hunter2"), outcome_of("switch", ended="failed", reason=""), ("unfinished", "ValueError")),
    ],
)
async def test_each_ending_is_told_by_its_name(
    tmp_path: Path,
    receiver: Receiver,
    error: BaseException | None,
    outcome: Outcome | None,
    told: tuple[str, str],
) -> None:
    kind, reason = told
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    await ended(config, error, outcome)
    (body,) = receiver.bodies()
    assert (body["kind"], body["release"], body["previous"], body["by"]) == (kind, "r2", "r1", "me@here")
    assert reason in body["reason"]
    assert "hunter2" not in body["text"]


async def test_a_rollback_by_a_person_is_told_as_one(tmp_path: Path, receiver: Receiver) -> None:
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    await ended(config, None, outcome_of("switch", ended="released", reason=""), kind="rollback")
    await ended(config, UNDONE, outcome_of("switch"), kind="rollback")
    assert [(body["kind"], body["operation"]) for body in receiver.bodies()] == [
        ("rolled-back", "rollback"),
        ("undone", "rollback"),
    ]


async def test_a_secret_that_an_error_repeats_does_not_go_out(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    monkeypatch.setenv("CANARY", "correct horse battery staple")
    await resolve_one("env:CANARY", tmp_path, "prod", "env.prod.secrets.CANARY")
    await ended(config, UNDONE, outcome_of("switch", reason="no login with correct horse battery staple: web-1"))
    assert "no login with" in receiver.bodies()[0]["reason"]
    assert b"horse" not in receiver.came[0][2]


async def test_who_could_not_be_told_is_in_the_outcome_s_notes(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [500]
    outcome = outcome_of("switch", ended="released", reason="")
    said = await ended(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), None, outcome)
    assert outcome.notes == said.lines
    assert "slack notifier team was not told (released): its URL was answered with 500" in outcome.notes[0]


async def test_a_mistake_in_telling_is_a_line_and_the_release_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(tell, "notify", broken)
    outcome = outcome_of("switch", ended="released", reason="")
    await ended(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), None, outcome)
    assert outcome.notes == ["nobody was told (released): something unexpected happened: KeyError"]


@pytest.mark.parametrize("error", [None, UNDONE])
async def test_ctrl_c_while_a_notifier_hangs_ends_the_waiting_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: ReleaseError | None
) -> None:
    # So that the notifier itself does not end the waiting.
    monkeypatch.setattr(http, "STEP_SECONDS", 60)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SILENT", f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")
        config = told_by(tmp_path, 'kind = "slack"\nsecret = "env:SILENT"')
        outcome = outcome_of("switch", ended="released", reason="")
        ending = asyncio.create_task(ended(config, error, outcome))
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            ending.cancel()
            said = await asyncio.wait_for(ending, timeout=8)
    assert said.lines == ["Interrupted: not everybody may have been told."]


async def test_an_error_is_still_the_release_s_own_when_nobody_could_be_told(tmp_path: Path) -> None:
    outcome = outcome_of("switch")
    said = await ended(told_by(tmp_path, 'kind = "slack"\nsecret = "env:NOT_THERE"'), UNDONE, outcome)
    assert len(said.lines) == 1


async def test_a_run_of_ci_is_linked_to(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SERVER_URL", "https://github.com"), ("REPOSITORY", "acme/links"), ("RUN_ID", "7")):
        monkeypatch.setenv(f"GITHUB_{name}", value)
    await ended(told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"'), UNDONE, outcome_of("start"))
    assert receiver.bodies()[0]["link"] == "https://github.com/acme/links/actions/runs/7"
