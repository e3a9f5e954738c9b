"""What each source outside of this machine has of its own: versions, logins, and the ways a value can be none."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from portside.secrets.base import MissingSecretError, UnreachableSourceError
from tests.stores.amazon import REGION, Amazon
from tests.stores.asking import CANARY, asked, become, logged_in, why
from tests.stores.azure import Azure
from tests.stores.base import Store
from tests.stores.bitwarden import Bitwarden
from tests.stores.google import Google
from tests.stores.programs import BitwardenSecrets, OnePassword
from tests.stores.standing import Standing
from tests.stores.vault import ROLE_SECRET, TOKEN, Vault

pytestmark = pytest.mark.secrets

MEMBERS = json.dumps({"password": CANARY, "port": 5432, "on": True, "empty": ""})


@pytest.fixture(autouse=True)
def patience_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own logins; and time for `bw`, which others on the same machine slow down."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("portside.secrets.fetching.SECONDS", 120.0)
    monkeypatch.setattr("portside.secrets.program.SECONDS", 120.0)


def somebody_at(kind: str, played_by: type[Store]) -> Any:
    """A fixture: the store, and a login to it in the environment."""

    @pytest.fixture(name=kind)
    def store(stores: Standing, monkeypatch: pytest.MonkeyPatch) -> Store:
        found = logged_in(stores[kind], monkeypatch)
        assert isinstance(found, played_by)
        return found

    return store


aws, azure, bw = somebody_at("aws", Amazon), somebody_at("azure", Azure), somebody_at("bw", Bitwarden)
bws, gcp = somebody_at("bws", BitwardenSecrets), somebody_at("gcp", Google)
op, vault = somebody_at("op", OnePassword), somebody_at("vault", Vault)


@pytest.mark.parametrize("kind", ["aws", "azure", "gcp"])
async def test_a_key_picks_from_a_json_object(kind: str, stores: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    store = logged_in(stores[kind], monkeypatch)
    whole, plain = store.put("db", MEMBERS), store.put("plain", CANARY)
    keys = ("password", "port", "on", "empty", "gone")
    answers = await asked(*(f"{whole}#{key}" for key in keys), f"{plain}#password")
    assert [answers[f"{whole}#{key}"] for key in ("password", "port")] == [CANARY, "5432"]
    said = [str(answers[f"{whole}#{key}"]) for key in ("on", "empty", "gone")]
    assert said[0].endswith("isn't a text: write it in quotes")
    assert said[1] == f"{whole}#empty is empty"
    assert said[2].endswith("has no gone")
    assert str(answers[f"{plain}#password"]).endswith("isn't a JSON object, so it has no password")
    assert CANARY not in "".join(said) + str(answers[f"{plain}#password"])


@pytest.mark.parametrize("kind", ["azure", "bws", "gcp", "op", "vault"])
async def test_an_empty_value_is_as_good_as_none(kind: str, stores: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = logged_in(stores[kind], monkeypatch).put("db", "")
    answer = await why(reference)
    assert isinstance(answer, MissingSecretError)
    assert str(answer) == f"{reference} is empty"


@pytest.mark.parametrize("kind", ["azure", "gcp"])
async def test_a_version_is_that_version_and_none_is_the_newest(
    kind: str, stores: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = logged_in(stores[kind], monkeypatch)
    store.put("db", f"{CANARY}-1")
    reference = store.put("db", f"{CANARY}-2")
    answers = await asked(reference, f"{reference}@1", f"{reference}@7")
    assert (answers[reference], answers[f"{reference}@1"]) == (f"{CANARY}-2", f"{CANARY}-1")
    assert isinstance(answers[f"{reference}@7"], MissingSecretError)


@pytest.mark.parametrize("kind", ["azure", "gcp"])
async def test_a_disabled_one_is_missing_and_said_to_be_disabled(
    kind: str, stores: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = logged_in(stores[kind], monkeypatch)
    assert isinstance(store, Azure | Google)
    reference = store.put("db", CANARY)
    store.disable("db")
    answer = await why(reference)
    assert isinstance(answer, MissingSecretError)
    assert "disabled" in str(answer).lower()


@pytest.mark.parametrize("kind", ["azure", "gcp"])
async def test_somebody_without_the_role_is_told_so(
    kind: str, stores: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = logged_in(stores[kind], monkeypatch)
    assert isinstance(store, Azure | Google)
    reference = store.put("db", CANARY)
    become(monkeypatch, store.forbidden())
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert "not authorized" in str(answer) or "Permission 'secretmanager.versions.access' denied" in str(answer)


@pytest.mark.parametrize("reference", ["azure:db", "gcp:db", "vault:kv/app", "vault:kv#value"])
async def test_a_reference_that_names_no_value_says_how_to_write_one(reference: str) -> None:
    answer = await why(reference)
    assert isinstance(answer, MissingSecretError)
    assert f"write {reference.partition(':')[0]}:" in str(answer)


# AWS


async def test_an_arn_names_a_secret_with_and_without_its_last_characters(aws: Amazon) -> None:
    aws.put("db", f"{CANARY}-db")
    aws.put("db-replica", f"{CANARY}-replica")
    whole, short = f"aws:{aws.arn('db')}", f"aws:{aws.arn('db')[:-7]}"
    replica = f"aws:{aws.arn('db-replica')}"
    answers = await asked(whole, short, replica)
    assert answers == {whole: f"{CANARY}-db", short: f"{CANARY}-db", replica: f"{CANARY}-replica"}


async def test_binary_is_text_where_it_is_text(aws: Amazon, gcp: Google) -> None:
    text, blob = aws.put_as("text", SecretBinary=CANARY.encode()), aws.put_as("blob", SecretBinary=b"\xff\xfe")
    other = gcp.put_binary("blob", b"\xff\xfe")
    answers = await asked(text, blob, other)
    assert answers[text] == CANARY
    for reference in (blob, other):
        assert isinstance(answers[reference], MissingSecretError)
        assert "is binary, and an environment variable is text" in str(answers[reference])


async def test_one_about_to_be_deleted_is_missing_alone_and_among_others(aws: Amazon) -> None:
    going, staying = aws.put("going", CANARY), aws.put("staying", CANARY)
    aws.delete("going")
    for references in ([going], [going, staying]):
        answers = await asked(*references)
        assert isinstance(answers[going], MissingSecretError)
    assert answers[staying] == CANARY


async def test_who_may_not_ask_for_many_at_once_is_answered_one_by_one(
    aws: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [aws.put(f"name-{number}", CANARY) for number in range(3)]
    become(monkeypatch, aws.allowed("secretsmanager:GetSecretValue"))
    assert await asked(*there) == dict.fromkeys(there, CANARY)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AWS_REGION": ""}, "AWS's region isn't known: set AWS_REGION"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({"AWS_ENDPOINT_URL": "secrets.example.net"}, "Invalid endpoint"),
    ],
)
async def test_settings_that_lead_nowhere_are_named(
    aws: Amazon, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    reference = aws.put("db", CANARY)
    become(monkeypatch, settings)
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert said in str(answer)


async def test_the_region_may_be_called_as_boto3_calls_it(aws: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    reference = aws.put("db", CANARY)
    assert await asked(reference) == {reference: CANARY}


# Google


async def test_a_persons_own_login_reads_until_it_has_run_out(gcp: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = gcp.put("db", CANARY)
    become(monkeypatch, gcp.person())
    assert await asked(reference) == {reference: CANARY}
    gcp.person(refresh="1//an-older-one")
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert "gcloud auth application-default login" in str(answer)
    assert "has been expired or revoked" in str(answer)


@pytest.mark.parametrize("text", ["no JSON", "{}", '{"type": "service_account", "private_key": "none"}'])
async def test_a_key_file_that_is_none_is_said(
    gcp: Google, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "key.json").write_text(text)
    become(monkeypatch, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")})
    answer = await why(gcp.put("db", CANARY))
    assert isinstance(answer, UnreachableSourceError)
    assert "set GOOGLE_APPLICATION_CREDENTIALS" in str(answer)


async def test_another_endpoint_is_asked_where_gcloud_would_ask_it(
    gcp: Google, stores: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = gcp.put("db", CANARY)
    monkeypatch.setitem(stores.internet.answers, "secrets.example.net", gcp.answers["secretmanager.googleapis.com"])
    become(monkeypatch, {"CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": "https://secrets.example.net/"})
    before = len(stores.internet.asked)
    assert await asked(reference) == {reference: CANARY}
    hosts = {request.host for request in stores.internet.asked[before:]}
    assert "secrets.example.net" in hosts and "secretmanager.googleapis.com" not in hosts


async def test_googles_own_way_of_writing_it_is_understood(gcp: Google) -> None:
    gcp.put("db", f"{CANARY}-1")
    gcp.put("db", f"{CANARY}-2")
    newest, first = "gcp:projects/shop/secrets/db", "gcp:projects/shop/secrets/db/versions/1"
    assert await asked(newest, first) == {newest: f"{CANARY}-2", first: f"{CANARY}-1"}


# Azure


async def test_a_vault_behind_a_firewall_is_not_a_disabled_secret(azure: Azure) -> None:
    reference = azure.put("db", CANARY)
    azure.closed_to_the_world = True
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert "Public network access is disabled" in str(answer)


async def test_a_vault_that_sends_its_client_elsewhere_to_log_in_gets_no_token(azure: Azure, stores: Standing) -> None:
    azure.put("db", CANARY)
    before = len(stores.internet.asked)
    answer = await why("azure:secrets.example.net/db")
    assert isinstance(answer, UnreachableSourceError)
    assert "does not match the requested domain" in str(answer)
    assert not [request for request in stores.internet.asked[before:] if request.bearer]


# Vault


async def test_a_role_logs_in_and_a_wrong_one_is_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = vault.put("db", CANARY)
    become(monkeypatch, vault.role())
    assert await asked(reference) == {reference: CANARY}
    become(monkeypatch, {"VAULT_SECRET_ID": "used up"})
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert "Vault refuses the AppRole login: invalid role or secret ID" in str(answer)
    assert ROLE_SECRET not in str(answer)


async def test_the_file_that_a_login_left_will_do(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reference = vault.put("db", CANARY)
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / ".vault-token").write_text(f"{TOKEN}\n")
    assert await asked(reference) == {reference: CANARY}


async def test_openbaos_names_for_the_same_will_do(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = vault.put("db", CANARY)
    for name in ("ADDR", "TOKEN", "CACERT"):
        monkeypatch.setenv(f"BAO_{name}", vault.variables[f"VAULT_{name}"])
        monkeypatch.delenv(f"VAULT_{name}")
    assert await asked(reference) == {reference: CANARY}


async def test_a_path_is_read_once_for_all_its_keys(vault: Vault) -> None:
    vault.put_all("app/many", {"a": CANARY, "b": 5432, "c": ["no text"]})
    before = len(vault.web.asked)
    answers = await asked(*(f"vault:kv/app/many#{key}" for key in "abcd"))
    assert [answers[f"vault:kv/app/many#{key}"] for key in "ab"] == [CANARY, "5432"]
    assert str(answers["vault:kv/app/many#c"]) == "c of kv/app/many in Vault isn't a text: write it in quotes"
    assert str(answers["vault:kv/app/many#d"]) == "kv/app/many in Vault has no d"
    assert len(vault.web.asked) == before + 1


async def test_a_deleted_version_is_missing(vault: Vault) -> None:
    reference = vault.put("db", CANARY)
    vault.delete("db")
    assert isinstance(await why(reference), MissingSecretError)


async def test_a_namespace_is_asked_in(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, vault.namespace = vault.put("db", CANARY), "team-a"
    assert isinstance(await why(reference), MissingSecretError)
    monkeypatch.setenv("VAULT_NAMESPACE", "team-a")
    assert await asked(reference) == {reference: CANARY}


@pytest.mark.parametrize("nonsense", ["a page of HTML", {"data": None}, [1]])
async def test_what_is_no_vault_is_said_to_be_none(vault: Vault, nonsense: object) -> None:
    reference = vault.put("db", CANARY)
    vault.nonsense = nonsense
    answer = await why(reference)
    assert isinstance(answer, UnreachableSourceError)
    assert "but not as Vault" in str(answer)


async def test_a_sealed_one_and_an_unknown_authority_and_no_address_are_each_said(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, vault.sealed = vault.put("db", CANARY), True
    assert "Vault is sealed" in str(await why(reference))
    monkeypatch.delenv("VAULT_CACERT")
    assert "certificate verify failed" in str(await why(reference)).lower()
    monkeypatch.delenv("VAULT_ADDR")
    assert str(await why(reference)) == "Vault's address isn't known: set VAULT_ADDR"


# Password managers


async def test_a_value_changed_at_bitwardens_server_is_the_one_that_comes(bw: Bitwarden) -> None:
    reference = bw.put("db", f"{CANARY}-1")
    assert await asked(reference) == {reference: f"{CANARY}-1"}
    bw.put("db", f"{CANARY}-2")
    assert await asked(reference) == {reference: f"{CANARY}-2"}


async def test_a_part_of_an_items_name_is_not_that_item_and_two_of_one_name_want_an_id(bw: Bitwarden) -> None:
    identity = str(uuid.UUID(int=7))
    bw.put("db-staging", f"{CANARY}-staging")
    bw.put("twice", CANARY)
    bw.put_item(
        "twice", {"login": {"password": f"{CANARY}-second"}, "notes": "n", "fields": [("Port", "5432")]}, identity
    )
    answers = await asked(
        "bw:db", "bw:twice", f"bw:{identity}", f"bw:{identity}#notes", f"bw:{identity}#Port", f"bw:{identity}#username"
    )
    assert str(answers["bw:db"]) == "Bitwarden has no item db"
    assert str(answers["bw:twice"]) == "Bitwarden has 2 items twice: use the id"
    assert answers[f"bw:{identity}"] == f"{CANARY}-second"
    assert (answers[f"bw:{identity}#notes"], answers[f"bw:{identity}#Port"]) == ("n", "5432")
    assert str(answers[f"bw:{identity}#username"]) == f"the Bitwarden item {identity} has no username"


async def test_two_secrets_of_one_name_want_an_id_and_all_are_listed_once(bws: BitwardenSecrets) -> None:
    bws.put("TWICE", CANARY)
    bws.put_another("TWICE", f"{CANARY}-second")
    answers = await asked("bws:TWICE", "bws:1")
    assert str(answers["bws:TWICE"]) == "Bitwarden Secrets Manager has 2 secrets TWICE: use the id"
    assert answers["bws:1"] == f"{CANARY}-second"
    assert bws.asked[-1:] == ["bws secret list --output json"] and CANARY not in "".join(bws.asked)


async def test_where_a_person_is_not_let_in_1password_is_asked_once(
    op: OnePassword, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = [op.put(f"item-{number}", CANARY) for number in range(5)]
    become(monkeypatch, op.refused())
    before = len(op.asked)
    answers = await asked(*references)
    assert all(isinstance(answer, UnreachableSourceError) for answer in answers.values())
    assert len(op.asked) == before + 1


async def test_what_1password_lacks_is_told_apart_from_a_login_that_failed(op: OnePassword) -> None:
    op.put("db", CANARY)
    answers = await asked("op://Gone/db/password", "op://Prod/gone/password", "op://Prod/db/gone")
    assert all(isinstance(answer, MissingSecretError) for answer in answers.values())
