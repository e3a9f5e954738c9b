"""What every store outside of this machine keeps to: real clients, and servers on loopback that speak their API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from portside.secrets.base import MissingSecretError, UnreachableSourceError
from tests.stores.asking import CANARY, asked, become, logged_in, why
from tests.stores.base import CLOSED, Store, silence
from tests.stores.standing import Standing

pytestmark = pytest.mark.secrets

KINDS = ("aws", "azure", "bw", "bws", "gcp", "op", "vault")
NETWORKED = ("aws", "azure", "gcp", "vault")
# What a person who reads the message can do, by source: nobody is logged in; the login isn't taken.
NOBODY = {
    "aws": "aws configure, AWS_PROFILE or a role",
    "azure": "az login, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    "bw": "Vault is locked. (bw login, then BW_SESSION from bw unlock --raw)",
    "bws": "set BWS_ACCESS_TOKEN",
    "gcp": "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "op": "No accounts configured",
    "vault": "set VAULT_TOKEN, or VAULT_ROLE_ID",
}
REFUSED = {
    "aws": "not authorized to perform: secretsmanager:GetSecretValue",
    "azure": "AADSTS7000215: Invalid client secret",
    "bw": "Vault is locked.",
    "bws": "invalid_client",
    "gcp": "invalid authentication credentials",
    "op": "(401) Unauthorized",
    "vault": "permission denied",
}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, stores: Standing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """Somebody is logged in to it, and has no other login at home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    # `bw` takes seconds to start, where others are at work on the same machine.
    monkeypatch.setattr("portside.secrets.fetching.SECONDS", 120.0)
    monkeypatch.setattr("portside.secrets.program.SECONDS", 120.0)
    return logged_in(stores[request.param], monkeypatch)


async def test_a_value_arrives_as_it_is(store: Store) -> None:
    text = f'{CANARY}\n"quoted" é $HOME\n'
    reference = store.put("db-password", text)
    assert await asked(reference) == {reference: text}


async def test_one_that_is_not_there_is_missing_and_named(store: Store) -> None:
    store.put("db-password", CANARY)
    answer = await why(store.reference("gone"))
    assert isinstance(answer, MissingSecretError)
    assert "gone" in str(answer)


async def test_many_are_asked_for_at_once_and_each_has_its_own_answer(store: Store) -> None:
    there = {store.put(f"name-{number}", f"{CANARY}-{number}"): f"{CANARY}-{number}" for number in range(23)}
    answers = await asked(*there, store.reference("gone"))
    assert {reference: answers[reference] for reference in there} == there
    assert isinstance(answers[store.reference("gone")], MissingSecretError)


async def test_without_a_login_it_says_how_to_log_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = store.put("db-password", CANARY)
    for name in store.logins:
        monkeypatch.delenv(name)
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert NOBODY[store.kind] in str(answer)


async def test_a_login_that_is_refused_says_nothing_about_the_value(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = store.put("db-password", CANARY)
    become(monkeypatch, store.refused())
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert REFUSED[store.kind] in str(answer)


async def test_where_there_is_nobody_to_ask_the_source_is_unreachable(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = store.put("db-password", CANARY)
    become(monkeypatch, store.at(CLOSED))
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert ("isn't installed: https://" if store.kind in ("op", "bws") else "could not be asked") in str(answer)


async def test_one_that_hangs_ends_at_the_deadline_of_all_sources(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portside.secrets.fetching.SECONDS", 0.1)
    with silence() as address:
        become(monkeypatch, store.at(address))
        answer = await why(store.reference("db-password"))
    assert isinstance(answer, UnreachableSourceError)
    assert str(answer) == f"{store.kind} did not answer within 0.1 s"


async def test_one_that_hangs_is_given_up_by_its_own_client_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ("READ_SECONDS", "CONNECT_SECONDS") if store.kind in NETWORKED else ("SECONDS",)
    module = store.kind if store.kind in NETWORKED else "program"
    for limit in limits:
        monkeypatch.setattr(f"portside.secrets.{module}.{limit}", 0.1)
    with silence() as address:
        become(monkeypatch, store.at(address))
        answer = await why(store.reference("db-password"))
    assert isinstance(answer, UnreachableSourceError)
    assert f"{store.kind} did not answer" not in str(answer)


def test_nothing_else_is_printed_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients log warnings, which Python prints where no one else takes them."""
    reference = store.put("db-password", CANARY)
    become(monkeypatch, store.refused())
    ask = "import asyncio, pathlib; from portside.secrets import fetch; root = pathlib.Path('/'); "
    ask += f"asyncio.run(fetch(['{reference}', '{store.reference('gone')}'], root, 'prod'))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("", "")
