"""Values out of an encrypted file of the repository: the real sops, real age keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portside.command import run_command
from portside.errors import ConfigError
from portside.secret_commands import secrets_command
from portside.secrets import fetch
from portside.secrets.age import key_file, new_key, recipients
from portside.secrets.base import MissingSecretError, UnreachableSourceError
from portside.secrets.program import find
from portside.secrets.sops_files import ensure_key
from tests.sops import CANARY, kept


async def test_values_come_out_of_an_encrypted_file(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"TOKEN: {CANARY}\nPORT: 5432\nEMPTY: ''\nYES: true\nnested:\n  other: in\n"
    await kept(sops_project, tmp_path, monkeypatch, text)
    assert CANARY not in (sops_project / "secrets/prod.yaml").read_text()
    keys = ("TOKEN", "PORT", "nested.other", "EMPTY", "YES", "GONE", "")
    answers = await fetch([f"sops:secrets/prod.yaml#{key}" for key in keys], sops_project, "prod")
    got = {key: answers[f"sops:secrets/prod.yaml#{key}"] for key in keys}
    assert (got["TOKEN"], got["PORT"], got["nested.other"]) == (CANARY, "5432", "in")
    said = {key: str(got[key]) for key in ("EMPTY", "YES", "GONE", "")}
    assert all(isinstance(got[key], MissingSecretError) for key in said)
    assert said == {
        "EMPTY": "sops:secrets/prod.yaml#EMPTY is empty",
        "YES": "YES of secrets/prod.yaml isn't a text: write it in quotes",
        "GONE": "secrets/prod.yaml has no GONE",
        "": "secrets/prod.yaml needs a key: write sops:secrets/prod.yaml#KEY",
    }


async def test_a_file_is_decrypted_once_for_all_its_values(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, "A: one\nB: two\nC: three\n")
    counted, real = tmp_path / "counted", find("sops", "")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/sops"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >>{counted}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr("portside.secrets.sops.find", lambda program, install: str(wrapper))
    answers = await fetch([f"sops:secrets/prod.yaml#{key}" for key in "ABC"], sops_project, "prod")
    assert sorted(map(str, answers.values())) == ["one", "three", "two"]
    assert len(counted.read_text().splitlines()) == 1


async def test_without_a_key_the_source_is_what_fails_and_says_so(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\n")
    key_file().unlink()
    reference = "sops:secrets/prod.yaml#TOKEN"
    answer = (await fetch([reference], sops_project, "prod"))[reference]
    assert isinstance(answer, UnreachableSourceError)
    assert "none of your keys opens secrets/prod.yaml" in str(answer)


async def test_a_key_from_the_environment_opens_it_as_in_ci(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\n")
    key = next(line for line in key_file().read_text().splitlines() if line.startswith("AGE-SECRET-KEY-"))
    key_file().unlink()
    monkeypatch.setenv("SOPS_AGE_KEY", key)
    reference = "sops:secrets/prod.yaml#TOKEN"
    assert await fetch([reference], sops_project, "prod") == {reference: CANARY}


async def test_what_is_no_sops_file_or_not_there_is_said(sops_project: Path) -> None:
    (sops_project / "plain.yaml").write_text("A: b\n")
    answers = await fetch(["sops:plain.yaml#A", "sops:nowhere.yaml#A"], sops_project, "prod")
    assert "sops can't decrypt plain.yaml: sops metadata not found" in str(answers["sops:plain.yaml#A"])
    assert "invoke secrets edit --file nowhere.yaml" in str(answers["sops:nowhere.yaml#A"])


def key(capsys: pytest.CaptureFixture[str], file: Path | None = None) -> tuple[dict[str, Any], str]:
    """What `invoke secrets key --json` tells, and all that it prints."""
    name = str(file) if file else None
    secrets_command("key", "local", name=None, yes=False, file=name, old=None, machine=True)
    said = capsys.readouterr()
    return json.loads(said.out), said.out + said.err


def test_a_person_without_a_key_gets_one_and_whoever_has_one_is_told_of_it(
    sops_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sops_project)
    made, said = key(capsys)
    assert (made["key_file"], made["new"]) == (str(key_file()), True)
    assert key_file().stat().st_mode & 0o777 == 0o600
    assert recipients() == [made["public"]]
    assert "AGE-SECRET-KEY" not in said
    assert key(capsys)[0] == made | {"new": False}


def test_a_key_in_a_file_of_its_own_is_none_of_the_person_s(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sops_project)
    mine, file = key(capsys)[0]["public"], tmp_path / "age.prod.key"
    made, said = key(capsys, file)
    assert made["public"] != mine and recipients() == [mine]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "AGE-SECRET-KEY" not in said


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("/proc/nowhere/age.key", "no age key can be kept there"),
        ("taken/age.key", "no age key can be kept there"),
        ("taken", "no age keys can be read there"),
    ],
    ids=["a folder that can't be made", "a file for a folder", "a file that is no text"],
)
async def test_a_place_where_no_key_can_be_kept_is_named_with_what_to_do(
    sops_project: Path, tmp_path: Path, name: str, what: str
) -> None:
    (tmp_path / "taken").write_bytes(b"\xff\xfe")
    (tmp_path / "taken").chmod(0o600)
    file = str(tmp_path / name)
    with pytest.raises(ConfigError, match=what) as caught:
        await ensure_key(sops_project, file)
    assert caught.value.where == file
    assert "choose a file elsewhere: SOPS_AGE_KEY_FILE, or the --file" in caught.value.remedy


def test_the_key_that_replaced_another_is_the_one_that_is_shown(
    sops_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sops_project)
    old = key(capsys)[0]["public"]
    new = new_key(key_file(), f"in place of {old}")
    assert key(capsys)[0]["public"] == new
    (sops_project / ".sops.yaml").write_text(f"creation_rules:\n  - age: {old}\n")
    assert key(capsys)[0]["public"] == old


def test_a_key_that_a_variable_has_is_said_to_be_there(
    sops_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sops_project)
    made, _ = key(capsys)
    monkeypatch.setenv("SOPS_AGE_KEY", key_file().read_text())
    assert key(capsys)[0]["key_file"] == str(key_file())
    key_file().unlink()
    assert key(capsys)[0] == {"public": made["public"], "key_file": None, "new": False}
    secrets_command("key", "local", name=None, yes=False, file=None, old=None, machine=False)
    assert "private key is in SOPS_AGE_KEY. Keep" in capsys.readouterr().out


async def test_ci_opens_with_that_file_s_content_what_its_key_was_let_into(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\n")
    made = await ensure_key(sops_project, str(tmp_path / "age.prod.key"))
    rules = sops_project / ".sops.yaml"
    rules.write_text(f"{rules.read_text().rstrip()},{made.recipient}\n")
    argv = [find("sops", ""), "updatekeys", "--yes", "secrets/prod.yaml"]
    (await run_command(argv, timeout=60, cwd=sops_project)).check()
    key_file().unlink()
    monkeypatch.setenv("SOPS_AGE_KEY", (tmp_path / "age.prod.key").read_text())
    reference = "sops:secrets/prod.yaml#TOKEN"
    assert await fetch([reference], sops_project, "prod") == {reference: CANARY}


async def test_no_key_is_written_into_a_file_of_something_else(sops_project: Path, tmp_path: Path) -> None:
    other = tmp_path / "id_ed25519"
    other.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    other.chmod(0o600)
    with pytest.raises(ConfigError, match="it has no age key"):
        await ensure_key(sops_project, str(other))
    assert other.read_text() == "-----BEGIN OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize("ignored", [False, True])
async def test_git_is_asked_of_a_key_whose_folder_is_yet_to_be_made(sops_project: Path, ignored: bool) -> None:
    (await run_command(["git", "init", "--quiet"], timeout=60, cwd=sops_project)).check()
    (sops_project / ".gitignore").write_text("keys/\n" if ignored else "")
    file = sops_project / "keys/prod/age.key"
    if ignored:
        assert (await ensure_key(sops_project, str(file))).file == file
    else:
        with pytest.raises(ConfigError, match="git would commit this private key"):
            await ensure_key(sops_project, str(file))
    assert file.exists() is ignored
