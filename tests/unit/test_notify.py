"""[notify.*]: what arrives, at real servers on loopback; and that nothing which goes wrong there reaches a release."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portside.config import Config, NewsKind, load_config
from portside.errors import ConfigError, HostError, PortsideError, ReleaseError, UnfinishedError
from portside.host.local import LocalHost
from portside.journal import Kind
from portside.notices import Ending, Notices
from portside.notify import http, mail, tell
from portside.notify.event import Event, message
from portside.notify.slack import payload
from portside.notify.tell import notify
from portside.notify.webhook import signature
from portside.outcome import Outcome
from portside.secrets import resolve_one
from portside.steps import Target
from tests.mailbox import mailbox
from tests.unit import builders

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"
MAIL = 'kind = "email"\nto = "team@example.com"\nfrom = "portside@example.com"\n'


class Receiver(ThreadingHTTPServer):
    """A server on loopback that keeps what it gets. `answers` are its next status codes, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.came: list[tuple[str, dict[str, str], bytes, float]] = []
        self.answers: list[int] = []
        self.body = b"ok"
        self.patience = 0.0
        self.url = f"http://127.0.0.1:{self.server_port}/{SECRET}"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body, _ in self.came]


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.came.append((self.path, headers, body, time.monotonic()))
        time.sleep(self.server.patience)
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("URL", server.url)
    monkeypatch.setattr(http, "PAUSE", 0.02)
    yield server
    server.shutdown()
    server.server_close()


def settings(folder: Path, blocks: str) -> Config:
    (folder / "portside.toml").write_text(f'[service]\nname = "links"\n[env.prod]\n[env.staging]\n{blocks}')
    return load_config(folder)


def told_by(folder: Path, block: str) -> Config:
    return settings(folder, f"[notify.team]\n{block}\n")


def happened(kind: NewsKind = "undone", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": f"20261123-154501-a1b2c3-{kind}",
        "kind": kind,
        "operation": "rollback" if kind == "rolled-back" else "deploy",
        "service": "links",
        "env": "prod",
        "release": "20261123-154501-aaaaaa",
        "previous": "20261122-120000-bbbbbb",
        "by": "me@here",
        "commit": "0123456789abcdef",
        "hosts": ("deploy@web-1", "deploy@web-2"),
        "seconds": 12.3,
        "reason": "",
        "link": "",
        "at": builders.NOW,
    }
    return Event(**(values | changes))


def sent(config: Config, event: Event, env: str = "prod") -> list[str]:
    return asyncio.run(notify(config, config.environment(env), event))


# What people read.

WORDS = {
    "released": ("serves prod", "deploy@web-1, deploy@web-2, by me@here, commit 0123456789ab", "invoke rollback"),
    "rolled-back": ("is back at 20261123-154501-aaaaaa in prod", "It was at 20261122", "invoke deploy --env prod"),
    "failed": ("deploy to prod failed before it took traffic", "bbbbbb serves as before", "invoke deploy --env prod"),
    "undone": ("deploy to prod was undone", "bbbbbb serves again", "invoke deploy --env prod"),
    "unfinished": ("is unfinished, somebody has to look", "it stopped after 12.3 s", "invoke status --env prod"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_message_says_what_where_why_and_what_to_type(kind: NewsKind) -> None:
    said = message(happened(kind, reason="container web-1 exited: web-1, start")).text
    for words in WORDS[kind]:
        assert words in said
    assert "Why: container web-1 exited: web-1, start" in said


def test_a_first_release_that_is_undone_leaves_nothing_to_serve() -> None:
    assert "Nothing serves" in message(happened("undone", previous=None)).text
    assert "Nothing serves" in message(happened("failed", previous=None)).text
    assert "invoke rollback" not in message(happened("released", previous=None)).text


def test_slack_reads_blocks_and_nobody_is_called_by_a_reason() -> None:
    made = payload(happened(reason="<!channel> & <https://x|y>\nsecond line", link="https://ci/1"))
    section, context = made["blocks"]
    assert section["text"]["text"].startswith("*✗ links: deploy to prod was undone*\n")
    assert "> &lt;!channel&gt; &amp; &lt;https://x|y&gt;\n> second line" in section["text"]["text"]
    foot = context["elements"][0]["text"]
    assert foot == "Mend the cause and type: `invoke deploy --env prod` · <https://ci/1|the run>"
    assert "<!channel>" not in made["text"]


def test_a_long_reason_fits_a_block_of_slack() -> None:
    made = payload(happened(reason="&" * 100_000, hosts=("deploy@web-1",)))
    assert len(made["blocks"][0]["text"]["text"].replace("&amp;", "&")) < 3_000


# Who is told of what.


def test_slack_is_told_once(tmp_path: Path, receiver: Receiver) -> None:
    assert sent(told_by(tmp_path, 'kind = "slack"\nsecret = "env:URL"'), happened()) == []
    ((path, headers, _, _),) = receiver.came
    assert path == f"/{SECRET}"
    assert headers["content-type"] == "application/json"
    assert receiver.bodies()[0]["text"].startswith("✗ links: deploy to prod was undone")


def test_events_and_environments_are_chosen(tmp_path: Path, receiver: Receiver) -> None:
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nevents = ["undone"]\nenvs = ["prod"]')
    for kind in WORDS:
        sent(config, happened(kind))
    sent(config, happened("undone"), "staging")
    assert [body["kind"] for body in receiver.bodies()] == ["undone"]


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ('kind = "pager"\nsecret = "env:A"', "notify.team.kind: Input should be 'slack'"),
        ('kind = "slack"', "kind slack also needs secret"),
        ('kind = "slack"\nsecret = "env:A"\nsigning_secret = "env:B"', "signing_secret is no key of kind slack"),
        ('kind = "slack"\nsecret = "env:A"\nevents = ["exploded"]', "notify.team.events.0"),
        ('kind = "slack"\nsecret = "env:A"\nevents = []', "notify.team.events"),
        ('kind = "slack"\nsecret = "env:A"\nenvs = ["production"]', "notify.team.envs: there is no environment"),
        (MAIL, "kind email also needs smarthost"),
        (f'{MAIL}smarthost = "smtp:587"\nusername = "portside"', "also needs secret"),
        ('kind = "slack"\nsecret = "https://hunter2"', "notify.team.secret"),
        ('kind = "webhook"\nsecret = "env:A"\nsigning_secret = "hunter2"', "notify.team.signing_secret"),
    ],
)
def test_a_mistake_names_its_key_and_shows_no_secret(tmp_path: Path, block: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told_by(tmp_path, block)
    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


# The webhook's JSON, and its signature.


def test_a_webhook_gets_what_the_page_says(tmp_path: Path, receiver: Receiver) -> None:
    event = happened(reason="why", link="https://ci/1")
    assert sent(told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"'), event) == []
    body = receiver.bodies()[0]
    assert body["hosts"] == ["deploy@web-1", "deploy@web-2"]
    assert body["at"] == "2026-11-23T15:45:01Z"
    page = (ROOT / "docs/notifications.md").read_text().split("## What a webhook gets")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(body)
    assert "webhook-signature" not in receiver.came[0][1]


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (
        signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def documented_check() -> Callable[..., bool]:
    """The receiver's half, as docs/notifications.md has it."""
    page = (ROOT / "docs/notifications.md").read_text()
    code = next(
        code for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "webhook-signature" in code
    )
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - what the page tells people to use
    check: Callable[..., bool] = found["genuine"]
    return check


def test_a_receiver_that_follows_the_page_knows_a_forgery(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nsigning_secret = "env:KEY"')
    assert sent(config, happened()) == []
    _, headers, body, _ = receiver.came[0]
    genuine = documented_check()
    assert genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body)
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", headers, body)
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, body + b" ")
    old = {**headers, "webhook-timestamp": str(int(time.time()) - 3600)}
    assert not genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", old, body)


@pytest.mark.parametrize("key", ["hunter2", "whsec_", "whsec_?"])
def test_a_signing_secret_of_another_form_is_said_and_nothing_goes_unsigned(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("KEY", key)
    config = told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nsigning_secret = "env:KEY"')
    (problem,) = sent(config, happened())
    assert "its signing_secret is not whsec_ and bytes in base64" in problem
    assert "hunter2" not in problem
    assert receiver.came == []


# Mail.


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail servers' certificates of this test are trusted, as an authority of the company's would be."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))


# Not loopback by its name, so TLS is insisted on; and still this machine.
ELSEWHERE = socket.gethostname()


@pytest.mark.usefixtures("trusted")
def test_mail_is_signed_in_and_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    with mailbox(tmp_path, name=ELSEWHERE, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        assert sent(told_by(tmp_path, block), happened(reason="it died\non web-1")) == []
    (came,) = box.came
    assert (came["To"], came["From"]) == ("team@example.com", "portside@example.com")
    assert came["Subject"] == "✗ links: deploy to prod was undone"
    assert came["Auto-Submitted"] == "auto-generated"
    text = came.get_content().replace("\r\n", "\n")
    assert "Why: it died\non web-1" in text
    assert "invoke deploy --env prod" in text
    assert box.encrypted == [True]
    assert box.logins == [("portside", SECRET)]


@pytest.mark.usefixtures("trusted")
def test_mail_to_the_port_for_tls_is_encrypted_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mailbox(tmp_path, name=ELSEWHERE, tls="implicit") as box:
        monkeypatch.setattr(mail, "TLS_PORT", int(box.address.rpartition(":")[2]))
        assert sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened()) == []
    assert len(box.came) == 1, "by a server that speaks nothing but TLS"


def test_a_server_that_can_t_encrypt_gets_neither_mail_nor_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", SECRET)
    with mailbox(tmp_path, name=ELSEWHERE, tls=None, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        (problem,) = sent(told_by(tmp_path, block), happened())
    assert "STARTTLS" in problem
    assert box.came == []
    assert box.logins == []


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with mailbox(tmp_path, name=ELSEWHERE) as box:
        (problem,) = sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened())
    assert "CERTIFICATE_VERIFY_FAILED" in problem
    assert box.came == []


def test_a_relay_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    with mailbox(tmp_path, tls=None) as box:
        assert sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened("released")) == []
    assert box.encrypted == [False]
    assert "serves prod" in box.came[0]["Subject"]


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_and_a_refused_mail_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "another-canary")
    with mailbox(tmp_path, name=ELSEWHERE, password=True) as box:
        block = f'{MAIL}smarthost = "{box.address}"\nusername = "portside"\nsecret = "env:PASSWORD"'
        (problem,) = sent(told_by(tmp_path, block), happened())
    assert "535" in problem
    assert "another-canary" not in problem
    with mailbox(tmp_path, name=ELSEWHERE) as box:
        box.refuses = "554 no thanks"
        (problem,) = sent(told_by(tmp_path, f'{MAIL}smarthost = "{box.address}"'), happened())
    assert "said 554 no thanks" in problem


# Whatever goes wrong there.


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


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


def test_all_are_told_at_once_and_the_slow_one_is_given_up(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tell, "DEADLINE", 1.6)
    receiver.patience = 0.5
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SILENT", f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")
        blocks = "".join(f'[notify.n{n}]\nkind = "webhook"\nsecret = "env:URL"\n' for n in range(4))
        blocks += '[notify.silent]\nkind = "slack"\nsecret = "env:SILENT"\n'
        blocks += f'[notify.mute]\n{MAIL}smarthost = "127.0.0.1:{silent.getsockname()[1]}"\n'
        config = settings(tmp_path, blocks)
        began = time.monotonic()
        problems = sent(config, happened())
        took = time.monotonic() - began
    assert took < 3, "six notifiers, of which two hang, take as long as the deadline; one after the other, 5.2 s"
    assert len(receiver.came) == 4
    assert sorted(problem.split(" was not told")[0] for problem in problems) == [
        "email notifier mute",
        "slack notifier silent",
    ]
    assert all("did not end within 1.6 s" in problem for problem in problems)


def test_a_command_ends_while_a_notifier_hangs(tmp_path: Path) -> None:
    """What never answers holds up neither the deadline nor the process's end, whatever its thread waits for."""
    code = f"""
        import asyncio, time
        from pathlib import Path
        from portside.config import load_config
        from portside.notify import tell
        from tests.unit.test_notify import happened

        tell.DEADLINE = 0.2
        tell.SENDERS["slack"] = lambda *_: time.sleep(60)
        config = load_config(Path({str(tmp_path)!r}))
        print(*asyncio.run(tell.notify(config, config.environment("prod"), happened())))
    """
    settings(tmp_path, '[notify.team]\nkind = "slack"\nsecret = "generated:URL"\n')
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert "did not end within 0.2 s" in done.stdout
    assert done.stderr == ""
    assert time.monotonic() - began < 20


def test_a_notifier_that_breaks_tells_no_more_than_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setitem(tell.SENDERS, "slack", broken)
    (problem,) = sent(told_by(tmp_path, 'kind = "slack"\nsecret = "generated:URL"'), happened())
    assert "something unexpected happened: KeyError" in problem
    assert SECRET not in problem


# How an operation ends.


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
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("SILENT", f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")
        config = told_by(tmp_path, 'kind = "slack"\nsecret = "env:SILENT"')
        outcome = outcome_of("switch", ended="released", reason="")
        ending = asyncio.create_task(ended(config, error, outcome))
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            ending.cancel()
            said = await asyncio.wait_for(ending, timeout=2)
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


# invoke notify-test


def notify_test(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "notify-test", "--env", "prod", "--json"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_message_says_that_it_is_one(tmp_path: Path, receiver: Receiver) -> None:
    told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nevents = ["undone"]')
    done = notify_test(tmp_path, URL=receiver.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"env": "prod", "told": ["team"]}
    assert "a test message for prod" in receiver.bodies()[0]["title"]
    assert "Nothing was released" in receiver.bodies()[0]["text"]


def test_a_test_message_that_does_not_arrive_is_an_error(tmp_path: Path) -> None:
    told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    done = notify_test(tmp_path, URL=f"{SECRET} without a scheme")
    assert done.returncode == PortsideError.exit_code
    assert "team: its secret is no URL" in json.loads(done.stdout)["why"]
    assert SECRET not in done.stdout + done.stderr


def test_a_test_message_to_nobody_says_how_to_add_somebody(tmp_path: Path) -> None:
    settings(tmp_path, "")
    done = notify_test(tmp_path)
    assert done.returncode == ConfigError.exit_code
    assert "docs/notifications.md" in done.stderr
