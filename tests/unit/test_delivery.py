"""How this machine comes by a release's image when it is the host itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.delivery import Delivery
from portside.release import Image
from tests.unit import builders
from tests.unit.standing_host import Said, StandingHost

PUSHED = f"registry.example.com/links@sha256:{'a' * 64}"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandingHost:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return StandingHost(tmp_path)


async def provided(host: StandingHost, reference: str) -> list[str]:
    """What was pulled for a release of this image."""
    config = builders.config(hosts=[])
    delivery = Delivery(config, config.environment("prod"), Said(), [host.host])
    await delivery.provide(await host.target(), Image(reference=reference))
    return host.pulled


async def test_an_image_that_is_named_by_its_digest_is_pulled(host: StandingHost) -> None:
    host.lacks(PUSHED)
    assert await provided(host, PUSHED) == [PUSHED]


@pytest.mark.parametrize("reference", [PUSHED, "links:1"])
async def test_what_is_there_is_not_pulled(host: StandingHost, reference: str) -> None:
    assert await provided(host, reference) == []
