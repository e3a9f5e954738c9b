"""Values out of an encrypted file of the repository: the real sops, real age keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.secrets import fetch
from portside.secrets.age import key_file
from portside.secrets.base import MissingSecretError, UnreachableSourceError
from portside.secrets.program import find
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
