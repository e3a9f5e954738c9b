"""Many secrets of an Azure vault cost one login, and a slow one is told from none."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

from portside.secrets import azure, fetch
from portside.secrets.base import SecretError, UnreachableSourceError, first_alone

NAMES = ("azure:prod/a", "azure:prod/b", "azure:prod/c")


class Vault:
    """In place of Azure's client: whoever is asked for a second secret knows whether the first has its answer."""

    def __init__(self, refusal: Exception | None = None, *, of: str = "") -> None:
        self.refusal = refusal
        self.of = of
        self.asked: list[str] = []
        self._answered = threading.Event()

    def get_secret(self, name: str, version: str | None) -> Any:
        self.asked.append(name)
        if self.refusal and self.of in ("", name):
            raise self.refusal
        if len(self.asked) == 1:
            time.sleep(0.1)
            self._answered.set()
        assert self._answered.is_set(), "it would have logged in once more"
        return type("Secret", (), {"value": f"value of {name}"})


def use(monkeypatch: pytest.MonkeyPatch, vault: Vault) -> Vault:
    monkeypatch.setattr(azure, "_client", lambda _: vault)
    return vault


async def test_a_vault_s_first_secret_is_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Vault())
    answers = await fetch(NAMES, Path("/"), "prod")
    assert [answers[name] for name in NAMES] == ["value of a", "value of b", "value of c"]


async def test_a_login_that_failed_is_not_tried_for_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = use(monkeypatch, Vault(ClientAuthenticationError("Authentication failed: AADSTS7000215: invalid\nmore")))
    answers = await fetch(NAMES, Path("/"), "prod")
    assert {str(answer) for answer in answers.values()} == {
        "Azure could not be asked, since the login failed: AADSTS7000215: invalid"
    }
    assert len(vault.asked) == 1


@pytest.mark.parametrize("name", ["b", "c"])
async def test_what_nobody_foresaw_of_one_secret_is_told_of_that_one_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use(monkeypatch, Vault(KeyError("answer-canary"), of=name))
    answers = await fetch(NAMES, Path("/"), "prod")
    assert {each for each, answer in answers.items() if isinstance(answer, SecretError)} == {f"azure:prod/{name}"}
    assert "(KeyError at test_secrets_azure.py:" in str(answers[f"azure:prod/{name}"])


async def test_what_nobody_foresaw_of_the_first_secret_says_nothing_of_the_others() -> None:
    async def ask(reference: str) -> str:
        return {"b": "value of b"}[reference]

    answers = await first_alone(["a", "b", "c"], ask, UnreachableSourceError)
    assert answers["b"] == "value of b"
    assert isinstance(answers["a"], UnreachableSourceError)
    assert isinstance(answers["c"], UnreachableSourceError)


async def test_an_az_that_is_slow_is_not_called_nobody_logged_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Azure's own library, with an `az` that takes its time."""
    (tmp_path / "az").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.setattr(azure, "LOGIN_SECONDS", 0.2)
    with pytest.raises(ClientAuthenticationError) as refused:
        azure._credential().get_token("https://vault.azure.net/.default")
    use(monkeypatch, Vault(refused.value))
    answer = (await fetch(NAMES, Path("/"), "prod"))[NAMES[0]]
    assert isinstance(answer, SecretError)
    assert str(answer) == "Azure could not be asked, since az gave no token within 0.2 s; try: az account show"
