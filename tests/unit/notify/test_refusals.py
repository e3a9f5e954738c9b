"""Whatever goes wrong where somebody is told: one line, which shows no address and no secret."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from portside.notify import http, mail, tell
from tests.unit.notify.telling import MAIL, ROOT, SECRET, Receiver, happened, sent, settings, told_by, unused_port


def test_a_refusal_is_a_line_that_names_it_and_not_its_address(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers, receiver.body = [404], b"no_service"
    (problem,) = sent(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), happened())
    assert problem == (
        "slack notifier team was not told (undone): its URL was answered with 404 no_service. "
        "Try it: invoke notify-test --env prod"
    )


@pytest.mark.parametrize("status", [302, 400, 403, 500])
def test_an_answer_that_repeats_the_address_is_not_shown(tmp_path: Path, receiver: Receiver, status: int) -> None:
    receiver.answers, receiver.body = [status], f"No such path: /{SECRET}".encode()
    (problem,) = sent(told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"'), happened())
    assert f"its URL was answered with {status}" in problem
    assert SECRET not in problem
    assert len(receiver.came) == 1


def test_one_that_is_busy_is_asked_once_more(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [503]
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    assert sent(config, happened()) == []
    first, second = receiver.came
    assert first[1]["webhook-id"] == second[1]["webhook-id"], "whoever gets both knows them for one"
    receiver.answers = [429, 429, 429]
    assert "429" in sent(config, happened())[0]
    assert len(receiver.came) == 4


def test_one_that_does_not_take_the_connection_is_asked_once_more(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a firewall drops what comes to a machine that is just starting."""
    post, late = httpx.Client.post, [httpx.ConnectTimeout("timed out")]

    def dropped(*arguments: Any, **named: Any) -> httpx.Response:
        if late:
            raise late.pop()
        return post(*arguments, **named)

    monkeypatch.setattr(httpx.Client, "post", dropped)
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    assert sent(config, happened()) == []
    late += [httpx.ConnectTimeout("timed out"), httpx.ConnectTimeout("timed out")]
    assert "there is no connection to its URL: timed out" in sent(config, happened())[0]
    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:{{port}}/{SECRET}",
        f"https://127.0.0.1:{{port}}/{SECRET}",
        f"https://{SECRET}.invalid/",
        f"ftp://127.0.0.1/{SECRET}",
        f"http://[{SECRET}",
        f"http://127.0.0.1:{SECRET}/",
        f"http://127.0.0.1/\x00{SECRET}",
        SECRET,
    ],
)
@pytest.mark.parametrize("kind", ["slack", "webhook"])
def test_no_address_is_ever_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, kind: str) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.02)
    (tmp_path / "env").write_text(f"URL='{url.format(port=unused_port())}'\n")
    (tmp_path / "env").chmod(0o600)
    (problem,) = sent(told_by(tmp_path, f'kind = "{kind}"\nsecret = "file:env#URL"'), happened())
    said = ("no connection", "is no text that an environment can hold")
    assert problem.startswith(f"{kind} notifier team was not told (undone): its ") or any(
        each in problem for each in said
    )
    assert SECRET not in problem
    assert "unexpected" not in problem


def test_a_missing_secret_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("URL", raising=False)
    (problem,) = sent(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), happened())
    assert "notify.team.secret" in problem
    assert "URL is not set" in problem


@pytest.mark.slow
def test_all_are_told_at_once_and_the_slow_one_is_given_up(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tell, "DEADLINE", 8)
    for module in (http, mail):
        # Else the slow one's step would end first.
        monkeypatch.setattr(module, "STEP_SECONDS", 20)
    receiver.together = threading.Barrier(4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SILENT", f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")
        blocks = "".join(f'[notify.n{n}]\nkind = "webhook"\nsecret = "env:URL"\n' for n in range(4))
        blocks += '[notify.silent]\nkind = "slack"\nsecret = "env:SILENT"\n'
        blocks += f'[notify.mute]\n{MAIL}smarthost = "127.0.0.1:{silent.getsockname()[1]}"\n'
        config = settings(tmp_path, blocks)
        problems = sent(config, happened())
    assert len(receiver.came) == 4
    assert sorted(problem.split(" was not told")[0] for problem in problems) == [
        "email notifier mute",
        "slack notifier silent",
    ]
    assert all("did not end within 8 s" in problem for problem in problems)


@pytest.mark.slow
def test_a_command_ends_while_a_notifier_hangs(tmp_path: Path) -> None:
    """What never answers holds up neither the deadline nor the process's end, whatever its thread waits for."""
    code = f"""
        import asyncio, time
        from pathlib import Path
        from portside.config import load_config
        from portside.notify import tell
        from tests.unit.notify.telling import happened

        tell.DEADLINE = 0.2
        tell.SENDERS["slack"] = lambda *_: time.sleep(60)
        config = load_config(Path({str(tmp_path)!r}))
        print(*asyncio.run(tell.notify(config, config.environment("prod"), happened())))
    """
    settings(tmp_path, '[notify.team]\nkind = "slack"\nsecret = "generated:URL"\n')
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert "did not end within 0.2 s" in done.stdout
    assert done.stderr == ""


def test_a_notifier_that_breaks_tells_no_more_than_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setitem(tell.SENDERS, "slack", broken)
    (problem,) = sent(told_by(tmp_path, 'kind = "slack"\nsecret = "generated:URL"'), happened())
    assert "something unexpected happened: KeyError" in problem
    assert SECRET not in problem
