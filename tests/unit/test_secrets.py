"""Where values come from, and what is said when they don't."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from portside.command import run_command
from portside.config.base import SECRET_SOURCES
from portside.errors import ConfigError, SecretSourceError
from portside.secrets import SOURCES, accessory_values, fetch, plain_variables, resolve
from portside.secrets.base import UnreachableSourceError
from portside.secrets.fetching import kept
from tests.unit.builders import environment


async def test_values_are_composed_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "s3cret")
    made = environment(
        env={"URL": "postgres://u:${PW}@h", "PLAIN": "x", "LITERAL": "$${PW}"},
        secrets={"PW": "env:OUTSIDE", "OTHER": "env:OUTSIDE"},
    )
    assert await resolve(made, tmp_path) == {
        "URL": "postgres://u:s3cret@h",
        "PLAIN": "x",
        "LITERAL": "${PW}",
        "OTHER": "s3cret",
    }
    assert plain_variables(made) == {"PLAIN": "x", "LITERAL": "${PW}"}


async def test_what_is_in_a_secret_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "a$${b}${PW}")
    made = environment(env={"URL": "x://u:${PW}@h/$${PW}", "SAID": "$${PW}"}, secrets={"PW": "env:OUTSIDE"})
    values = await resolve(made, tmp_path)
    assert values["URL"] == "x://u:a$${b}${PW}@h/${PW}"
    assert await accessory_values(made, tmp_path, {"PW": True, "SAID": True}) == {"PW": "a$${b}${PW}", "SAID": "${PW}"}


async def test_a_dotenv_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "prod.env"
    file.write_text("export A='with space'\nB=${NOT_EXPANDED}\n")
    file.chmod(0o600)
    values = await resolve(environment(secrets={"A": "file:prod.env#A", "B": "file:prod.env#B"}), tmp_path)
    assert values == {"A": "with space", "B": "${NOT_EXPANDED}"}


async def test_a_generated_value_stays_the_same_and_is_private(tmp_path: Path) -> None:
    made = environment(secrets={"PW": "generated:PW"})
    first = await resolve(made, tmp_path)
    assert await resolve(made, tmp_path) == first
    (kept,) = (tmp_path / ".portside/secrets").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"secrets": {"A": "env:NOT_THERE", "B": "file:no.env#B"}}, "2 secrets are missing"),
        ({"env": {"A": "${B}"}}, "${B} isn't among"),
    ],
)
async def test_what_is_missing_is_named(tmp_path: Path, settings: dict[str, dict[str, str]], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await resolve(environment(**settings), tmp_path)
    assert named in str(caught.value)


def test_a_source_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match=r"no secret source 'keychain'; use one of: aws, azure, .* vault"):
        environment(secrets={"A": "keychain:x"})
    assert tuple(sorted(SOURCES)) == SECRET_SOURCES


async def test_a_source_that_cannot_be_asked_is_told_from_a_value_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EMPTY", "")
    made = environment(secrets={"GONE": "env:EMPTY", "AWAY": "op://vault/item/field", "THERE": "env:PATH"})
    with pytest.raises(SecretSourceError) as caught:
        await resolve(made, tmp_path)
    assert caught.value.what == "1 secret is missing or empty; the source of 1 secret could not be asked"
    assert caught.value.why.splitlines() == [
        "GONE: the environment variable EMPTY is not set",
        "AWAY: the program op isn't installed: https://developer.1password.com/docs/cli/get-started/",
    ]


class Slow:
    """A stand-in for a source behind a network that drops every packet."""

    def __init__(self, root: Path, env: str) -> None: ...

    async def fetch(self, reference: str) -> str:
        await asyncio.sleep(60)
        return ""


async def test_a_source_that_does_not_answer_ends_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "vault", Slow)
    monkeypatch.setattr("portside.secrets.fetching.SECONDS", 0.05)
    monkeypatch.setenv("OUTSIDE", "s3cret")
    answers = await fetch(["vault:a/b#c", "env:OUTSIDE"], tmp_path, "prod")
    assert answers["env:OUTSIDE"] == "s3cret"
    assert isinstance(answers["vault:a/b#c"], UnreachableSourceError)
    assert str(answers["vault:a/b#c"]) == "vault did not answer within 0.05 s"


async def test_a_command_asks_for_a_value_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "before")
    with kept():
        await fetch(["env:OUTSIDE"], tmp_path, "prod")
        monkeypatch.setenv("OUTSIDE", "after")
        assert await fetch(["env:OUTSIDE"], tmp_path, "prod") == {"env:OUTSIDE": "before"}
    assert await fetch(["env:OUTSIDE"], tmp_path, "prod") == {"env:OUTSIDE": "after"}


async def test_accessories_get_only_what_they_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "s3cret")
    made = environment(secrets={"PW": "env:OUTSIDE", "MORE": "env:OUTSIDE"}, env={"SIZE": "1"})
    assert await accessory_values(made, tmp_path, {"PW": True, "SIZE": True}) == {"PW": "s3cret", "SIZE": "1"}
    with pytest.raises(ConfigError, match="NOT_ASKED_FOR"):
        await accessory_values(made, tmp_path, {"NOT_ASKED_FOR": True})


async def test_a_dotenv_file_that_git_would_commit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / ".env.prod"
    file.write_text("A=s3cret\n")
    file.chmod(0o600)
    made = environment(secrets={"A": "file:.env.prod#A"})
    git = ["git", "-c", "init.defaultBranch=main", "init", "--quiet"]
    (await run_command(git, cwd=tmp_path, timeout=10)).check()
    with pytest.raises(ConfigError, match=r"git would commit \.env\.prod: name it in \.gitignore"):
        await resolve(made, tmp_path)
    (tmp_path / ".gitignore").write_text(".env.*\n")
    assert await resolve(made, tmp_path) == {"A": "s3cret"}


class Stumbling:
    """A stand-in for a client that raises what nobody has seen it raise, with what it was reading."""

    def __init__(self, root: Path, env: str) -> None: ...

    async def fetch(self, reference: str) -> str:
        raise KeyError("answer-canary")


async def test_what_a_client_was_never_seen_to_raise_is_told_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "vault", Stumbling)
    answer = (await fetch(["vault:a/b#c"], tmp_path, "prod"))["vault:a/b#c"]
    assert isinstance(answer, UnreachableSourceError)
    assert re.fullmatch(r"its answer could not be read \(KeyError at test_secrets\.py:\d+\)", str(answer))
