"""Known values are found in every spelling that texts carry them in."""

from __future__ import annotations

import base64
import io
import json
import shlex
import textwrap
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside import cli
from portside.cli import Terminal
from portside.errors import ReleaseError
from portside.outcome import cause_of
from portside.release import env_file
from portside.secrets.scrub import HIDDEN, MINIMUM, Scrubbed, Scrubber, learn

CANARY = "c4nary/+ \"$HOME' é\\end"


def scrubber(*values: str) -> Scrubber:
    made = Scrubber()
    made.learn(values)
    return made


SPELLINGS = {
    "as it is": lambda value: value,
    "percent-encoded": lambda value: urllib.parse.quote(value, safe=""),
    "percent-encoded in a path": urllib.parse.quote,
    "in a form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "shell": shlex.quote,
    "Python": repr,
    "env file": lambda value: env_file({"A": value}),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "basic authentication": lambda value: base64.b64encode(f"somebody:{value}".encode()).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_is_found_in_every_spelling(spelling: str) -> None:
    text = f"before {SPELLINGS[spelling](CANARY)} after"
    cleaned = scrubber(CANARY).scrub(text)
    assert HIDDEN in cleaned
    assert cleaned.startswith("before ") and cleaned.endswith(" after")
    assert "nary" not in cleaned


@given(st.text(min_size=MINIMUM).filter(lambda value: value.strip()), st.binary(max_size=5), st.binary(max_size=5))
def test_any_value_is_found_inside_base64(value: str, before: bytes, after: bytes) -> None:
    blob = base64.b64encode(before + value.encode() + after).decode()
    assert HIDDEN in scrubber(value).scrub(blob)


def test_a_url_is_known_by_its_password_too() -> None:
    made = scrubber("postgresql://links:p%40ssw0rd@db:5432/links")
    assert made.scrub("FATAL: p@ssw0rd, sent as p%40ssw0rd") == f"FATAL: {HIDDEN}, sent as {HIDDEN}"


def test_a_key_is_found_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    made = scrubber(key)
    assert made.scrub("log: kqhkiG9w0BAQEF") == f"log: {HIDDEN}"
    assert made.scrub("a file begins with -----BEGIN KEY-----") == "a file begins with -----BEGIN KEY-----"


@pytest.mark.parametrize(
    "value", ["hunter2hunter2\n", "hunter2hunter2\r\n", " hunter2hunter2", "\n\thunter2hunter2  \n"]
)
def test_a_value_is_found_without_the_whitespace_around_it(value: str) -> None:
    made = scrubber(value)
    for text in ("pw hunter2hunter2 refused", f"pw {value} refused", "pw=hunter2hunter2"):
        assert HIDDEN in made.scrub(text)
        assert "hunter2" not in made.scrub(text)


def test_what_is_short_without_the_whitespace_around_it_is_left() -> None:
    assert scrubber("true  \n").scrub("true, 5432") == "true, 5432"


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("columns", [64, 76])
def test_a_value_is_found_in_each_line_of_its_base64(columns: int, end: str) -> None:
    blob = base64.b64encode(("".join(map(chr, range(48, 123))) * 3 + end).encode()).decode()
    lines = textwrap.wrap(blob, columns)
    made = scrubber(base64.b64decode(blob).decode())
    # The last character may be made of bits that aren't the value's.
    assert all(HIDDEN in made.scrub(line) and len(made.scrub(line).rstrip("=")) <= len(HIDDEN) + 1 for line in lines)


def test_a_value_that_begins_with_another_leaves_nothing_over() -> None:
    assert scrubber("abcdef", "abcdef-and-more").scrub("abcdef-and-more") == HIDDEN


def test_short_values_are_left_as_they_are() -> None:
    assert scrubber("true", "12345").scrub("true 12345") == "true 12345"


def test_a_stream_is_scrubbed_and_bytes_of_its_buffer_are_not() -> None:
    learn(["stream-canary"])
    raw = io.BytesIO()
    stream = Scrubbed(io.TextIOWrapper(raw, write_through=True))
    assert stream.write("a stream-canary\n") == len("a stream-canary\n")
    stream.writelines(["stream-canary\n"])
    stream.buffer.write(b"stream-canary\n")
    assert raw.getvalue().decode().splitlines() == [f"a {HIDDEN}", HIDDEN, "stream-canary"]


async def everything(terminal: Terminal) -> None:
    learn(["output-canary"])
    terminal.reporter.say("say output-canary")
    terminal.reporter.phase("host", "start", "done", note="note output-canary")
    raise ReleaseError("what output-canary", where="where", why="log: output-canary", remedy="output-canary")


@pytest.mark.parametrize("machine", [True, False])
def test_nothing_that_a_command_prints_has_a_known_value(machine: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run(everything, machine=machine, failed=lambda error: {"reason": error.what})
    assert ended.value.code == 7
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "canary" not in said
    assert said.count(HIDDEN) >= 5


async def tripping(_: Terminal) -> None:
    learn(["crash-canary"])
    raise ValueError("crash-canary is no number" + " " * 266 + "crash-canary")


def test_a_crash_file_has_no_known_value(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.run(tripping)
    written = (tmp_path / cli.CRASH_FILE).read_text()
    assert "ValueError" in written and HIDDEN in written and "crash-canary" not in written
    # What is said is cut where a value stands: of that, too, nothing is left.
    assert "crash" not in capsys.readouterr().err.replace("crash.txt", "")
    assert (tmp_path / cli.CRASH_FILE).stat().st_mode & 0o077 == 0


def test_the_reason_that_journals_keep_has_no_known_value() -> None:
    learn(["journal-canary"])
    assert cause_of(ReleaseError("web said journal-canary", where="a, start")) == f"web said {HIDDEN}: a, start"


def test_the_login_of_a_source_is_known_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "hvs.token-canary")

    async def act(terminal: Terminal) -> None:
        terminal.result({}, "permission denied for hvs.token-canary")

    cli.run(act)
    assert capsys.readouterr().out == f"permission denied for {HIDDEN}\n"
