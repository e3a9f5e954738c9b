"""Secrets are taken out of log lines, and what is left is JSON."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from app.redaction import _masked, redact

ROOT = Path(__file__).parents[3]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.mark.parametrize(
    "text",
    [
        "connecting to postgresql://links:hunter2@db/links failed",
        "connecting to postgresql://links:p@hunter2@db/links failed",
        "Authorization: Bearer hunter2hunter2",
        "{'authorization': 'Basic hunter2hunter2'}",
        '{"password": "hunter2"}',
        "password=hunter2, user=me",
        "DB_PASSWORD: hunter2",
        "GET /?api_key=hunter2&x=1",
        "Set-Cookie: hunter2",
        "Authorization: Token hunter2",
        "Authorization: AWS4-HMAC-SHA256 Credential=hunter2/eu, Signature=hunter2",
        'Authorization: Digest username="me", response="hunter2"',
        "{'authorization': 'ApiKey hunter2'}",
        '{"authorization": "Digest username=\\"me\\", response=\\"hunter2\\""}',
        "Cookie: theme=dark; sessionid=hunter2",
        "{'cookie': 'theme=dark; sessionid=hunter2'}",
    ],
)
def test_secrets_are_masked_in_messages_and_tracebacks(log_lines: Lines, text: str) -> None:
    logger.info("{}", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.opt(exception=True).error("failed")
    lines = log_lines()
    assert len(lines) == 2
    assert "hunter2" not in str(lines)
    assert "***" in lines[0]["message"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Cookie: a=hunter2; b=1\nHost: links", "Cookie: ***\nHost: links"),
        ("{'authorization': 'Token hunter2', 'host': 'links'}", "{'authorization': '***', 'host': 'links'}"),
        ('{"cookie": "a=\\"hunter2\\"", "host": "links"}', '{"cookie": "***", "host": "links"}'),
        ("{'cookie': '', 'host': 'links'}", "{'cookie': '***', 'host': 'links'}"),
        ("authorization failed for links", "authorization failed for links"),
    ],
)
def test_what_stands_behind_a_header_stays(text: str, masked: str) -> None:
    assert orjson.loads(redact(orjson.dumps({"message": text, "level": "info"}))) == {
        "message": masked,
        "level": "info",
    }


def test_secrets_in_fields_are_masked_by_the_name_of_the_field(log_lines: Lines) -> None:
    logger.bind(password='hun"ter2', db_token="hunter2", user="me").info("signed in")
    (line,) = log_lines()
    assert (line["password"], line["db_token"], line["user"]) == ("***", "***", "me")


@pytest.mark.parametrize("line", [b"https://example.com/a:b@c", b"12 tokens used", b"http://host:80/path"])
def test_what_is_no_secret_is_left_alone(line: bytes) -> None:
    assert redact(line) == line


LONG = (b"-a", b"a://", b"a:", b"password ", b'token":"', b"key= ", b'token":{', b'token":1 ')


@pytest.mark.parametrize("piece", [*LONG, b"cookie ", b"cookie: ", b"cookie:'"])
def test_a_long_line_takes_a_moment_and_not_a_minute(piece: bytes) -> None:
    """In a process of its own: what takes long can't be interrupted."""
    line = b"@://pass" + piece * 100_000
    program = "import sys; from app.redaction import redact; redact(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", program], input=line, cwd=ROOT, check=True, timeout=60)


WORDS = ("password", "Passwd", "SECRET", "x-token", "Authorization", "cookie", "api", "key", "Bearer ", "basic ")
FRAGMENTS = st.sampled_from((*WORDS, *"_-=:@/ ,{}'\"\\", "hunter2", "postgresql://me:"))


@given(st.lists(FRAGMENTS, max_size=12).map("".join))
def test_the_short_look_for_secrets_misses_none_that_the_pattern_finds(text: str) -> None:
    line = text.encode()
    assert redact(line) == _masked(line)


@pytest.mark.parametrize(
    ("fields", "masked"),
    [
        ({"password": 123, "user": "me"}, {"password": "***", "user": "me"}),
        ({"token": {"a": 1, "b": ["}", "hunter2"]}, "user": "me"}, {"token": "***", "user": "me"}),
        ({"api_key": [], "secret": True}, {"api_key": "***", "secret": "***"}),
        ({"inner": {"passwd": ["hunter2", {"a": "]"}], "b": 1}}, {"inner": {"passwd": "***", "b": 1}}),
        ({"message": "the cookie="}, {"message": "the cookie="}),
        ({"token=": 5, "secret: ": {}}, {"token=": 5, "secret: ": {}}),
        ({"message": 'token="hunter2"'}, {"message": 'token="***"'}),
        ({"message": "ends in token\\", "a": "=b"}, {"message": "ends in token\\", "a": "=b"}),
    ],
)
def test_a_masked_line_is_json_whatever_the_value_is(fields: dict[str, Any], masked: dict[str, Any]) -> None:
    assert orjson.loads(redact(orjson.dumps(fields))) == masked


TEXTS = st.lists(FRAGMENTS, max_size=6).map("".join)
VALUES = st.recursive(
    TEXTS | st.integers(-9, 9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


FIELDS = st.sampled_from(("message", "token", "x-Password", "cookie="))


@given(st.dictionaries(FIELDS, VALUES))
def test_masking_never_breaks_a_line_nor_takes_a_field_away(fields: dict[str, Any]) -> None:
    assert orjson.loads(redact(orjson.dumps(fields))).keys() == fields.keys()
