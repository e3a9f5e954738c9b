"""Referrers in a registry that lists them, and in those that don't.

Against a real registry, without the interface, tests/lab/test_scan.py attaches and reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.errors import BuildError
from portside.image.pushed import pushed_before
from portside.image.referrers import attach, attached
from portside.image.registry import PASSWORD, USERNAME
from tests.unit.image.stand_in import CONFIGURATION, DIGEST, IDENTITY_TOKEN, StandIn, running

KIND = "application/vnd.portside.scan.v1+json"


@pytest.fixture(params=[(True, 0), (False, 404), (False, 406)], ids=["native", "by tag", "by tag, with an odd refusal"])
def registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv(USERNAME, "user")
    monkeypatch.setenv(PASSWORD, "password")
    native, refusal = request.param
    with running(StandIn(native=native, refusal=refusal)) as server:
        yield server


async def test_what_is_attached_is_read_again_newest_first(registry: StandIn) -> None:
    subject = f"{registry.address}/team/links@{DIGEST}"
    for day in ("2026-11-22", "2026-11-24", "2026-11-23"):
        files = {"record.json": ("application/json", day.encode())}
        noted = {"org.opencontainers.image.created": day}
        await attach(subject, artifact_type=KIND, files=files, annotations=noted)
    await attach(subject, artifact_type="application/other", files={"x": ("text/plain", b"x")})
    found = await attached(subject, KIND)
    assert [await artifact.read("record.json") for artifact in found] == [b"2026-11-24", b"2026-11-23", b"2026-11-22"]
    with pytest.raises(BuildError, match="no file missing"):
        await found[0].read("missing")


async def test_an_image_with_nothing_attached_has_nothing(registry: StandIn) -> None:
    assert await attached(f"{registry.address}/team/links@{DIGEST}", KIND) == []


async def test_what_was_changed_on_the_way_is_refused(registry: StandIn) -> None:
    subject = f"{registry.address}/team/links@{DIGEST}"
    await attach(subject, artifact_type=KIND, files={"record.json": ("application/json", b"passed")})
    (artifact,) = await attached(subject, KIND)
    for digest, content in registry.blobs.items():
        if content == b"passed":
            registry.blobs[digest] = b"failed"
    with pytest.raises(BuildError, match="something else"):
        await artifact.read("record.json")


async def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(
    registry: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "canary-password")
    with pytest.raises(BuildError, match="refused") as caught:
        await attached(f"{registry.address}/team/links@{DIGEST}", KIND)
    assert USERNAME in caught.value.remedy
    assert "canary" not in str(caught.value)


async def test_an_image_that_is_not_there_takes_nothing(registry: StandIn) -> None:
    other = f"{registry.address}/team/links@sha256:{'0' * 64}"
    with pytest.raises(BuildError, match="failed"):
        await attach(other, artifact_type=KIND, files={})


KEPT = ["in the file", "under its address", "as a token", "by a helper", "by nobody", "by nobody yet"]


@pytest.mark.parametrize("kept", KEPT)
async def test_docker_s_own_login_counts_wherever_docker_keeps_it(
    registry: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    for name in (USERNAME, PASSWORD):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    helper = tmp_path / "docker-credential-standin"
    helper.write_text(
        f'#!/bin/sh\nread -r name\n[ "$name" = {registry.address} ] || exit 1\n'
        """echo '{"Username": "user", "Secret": "password"}'\n"""
    )
    helper.chmod(0o700)
    auth = {"auth": "dXNlcjpwYXNzd29yZA=="}
    forms = {
        "in the file": {"auths": {registry.address: auth}},
        "under its address": {"auths": {f"https://{registry.address}": auth}},
        "as a token": {"auths": {registry.address: {"auth": "MDA6", "identitytoken": IDENTITY_TOKEN}}},
        "by a helper": {"credsStore": "standin"},
        "by nobody": {},
        "by nobody yet": {"auths": None},
    }
    (tmp_path / "config.json").write_text(json.dumps(forms[kept]))
    subject = f"{registry.address}/team/links@{DIGEST}"
    if kept.startswith("by nobody"):
        with pytest.raises(BuildError, match="refused"):
            await attached(subject, KIND)
    else:
        assert await attached(subject, KIND) == []


async def test_a_registry_that_is_away_is_named() -> None:
    with pytest.raises(BuildError, match="can't be asked") as caught:
        await attached(f"127.0.0.1:1/team/links@{DIGEST}", KIND)
    assert caught.value.where == "127.0.0.1:1"


async def test_a_tag_takes_nothing() -> None:
    with pytest.raises(BuildError, match="named by its digest"):
        await attach("127.0.0.1:1/team/links:1", artifact_type=KIND, files={})


@pytest.mark.parametrize("image_id", [CONFIGURATION, DIGEST], ids=["its configuration", "its manifest"])
async def test_an_image_that_was_pushed_is_known_by_either_of_its_ids(registry: StandIn, image_id: str) -> None:
    registry.manifests["sha-1"] = registry.manifests[DIGEST]
    target = f"{registry.address}/team/links"
    assert await pushed_before(f"{target}:sha-1", image_id) == f"{target}@{DIGEST}"


async def test_another_image_under_the_tag_or_none_was_not_pushed(registry: StandIn) -> None:
    registry.manifests["sha-1"] = registry.manifests[DIGEST]
    other = f"sha256:{'0' * 64}"
    assert await pushed_before(f"{registry.address}/team/links:sha-1", other) == ""
    assert await pushed_before(f"{registry.address}/team/links:sha-2", CONFIGURATION) == ""
