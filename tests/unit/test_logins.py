"""The doctor knows who isn't logged in at the registry, and claims nothing that it can't know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from portside.errors import BuildError
from portside.image.reference import parse_reference
from portside.image.registry import PASSWORD, USERNAME, push_image
from portside.logins import login_findings, nobody_here
from portside.release import Image
from tests.unit import builders
from tests.unit.image.stand_in import StandIn, running
from tests.unit.swarm.test_ground import Node

REGISTRY = "registry.example.com/acme/links"
SERVED = f"{REGISTRY}@sha256:{'a' * 64}"
RELEASE = builders.release(image=Image(reference=SERVED))
SERVES = builders.state(current=builders.current(RELEASE.id), releases={RELEASE.id: RELEASE})


def answering(folder: Path, name: str, script: str) -> Node:
    host = Node(name, folder / name)
    (folder / name / "bin/docker").write_text(
        f'#!/bin/sh\n[ "$*" = "manifest inspect {SERVED}" ] || exit 9\n{script}\n'
    )
    return host


async def test_a_host_whose_login_the_registry_refuses_is_found(tmp_path: Path) -> None:
    hosts = [
        answering(tmp_path, "in", "echo {}"),
        answering(tmp_path, "out", "echo 'Get https://registry.example.com: no basic auth credentials' >&2; exit 1"),
        answering(tmp_path, "cut-off", "echo 'dial tcp 10.0.0.1:443: i/o timeout' >&2; exit 1"),
    ]
    environment = builders.environment(registry=REGISTRY)
    (finding,) = await login_findings(environment, hosts, {"in": SERVES, "out": builders.state()})
    assert finding.where == "out"
    assert finding.remedy.endswith("docker login registry.example.com")
    assert await login_findings(environment, hosts, {"in": builders.state()}) == []
    elsewhere = RELEASE.model_copy(update={"image": Image(reference="ghcr.io/acme/links:1")})
    assert await login_findings(environment, hosts, {"in": replace(SERVES, releases={RELEASE.id: elsewhere})}) == []


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in (USERNAME, PASSWORD):
        monkeypatch.delenv(name, raising=False)
    with running(StandIn(native=True)) as server:
        yield server


async def test_a_machine_that_is_not_logged_in_is_told_so(registry: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"docker login {registry.address}" in await nobody_here(f"{registry.address}/team/links")
    monkeypatch.setenv(USERNAME, "user")
    monkeypatch.setenv(PASSWORD, "password")
    assert await nobody_here(f"{registry.address}/team/links") == ""
    assert await nobody_here("none") == ""


async def test_a_registry_that_is_away_says_nothing_of_a_login(registry: StandIn) -> None:
    assert await nobody_here("127.0.0.1:1/team/links") == ""


async def test_a_refused_push_names_both_ways_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\n[ "$1" = tag ] || { echo "no basic auth credentials" >&2; exit 1; }\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BuildError, match="the registry refused") as caught:
        await push_image("links:1", f"{REGISTRY}:1", say=print, environ={})
    assert USERNAME in caught.value.remedy
    assert f"docker login {parse_reference(REGISTRY).registry}" in caught.value.remedy
