"""Which images a prune removes from a host that several sites share; the Docker Engine is a stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside import steps
from portside.steps import Step, Target
from portside.swarm import steps as swarm_steps
from tests.unit import builders
from tests.unit.test_markers import Machine

ENGINE = """#!/bin/sh
echo "$@" >>"$HOME/asked"
"""
PRUNE = {"r0": "links:sha-0"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    (made.home / "bin/docker").write_text(ENGINE)
    recorded(made, "links-prod", "r0")
    return made


def recorded(machine: Machine, site: str, release: str) -> None:
    folder = machine.home / ".portside/sites" / site / "releases" / release
    folder.mkdir(parents=True)
    image = builders.Image(reference="links:sha-0")
    (folder / "release.json").write_text(builders.release(release, image=image).model_dump_json())


def retired(*, swarm: bool) -> Step:
    operation = builders.operation(previous=None, swarm="follows" if swarm else "")
    target = Target(None, "links-prod", "1", builders.state(), operation)  # type: ignore[arg-type]
    retire = swarm_steps.retire if swarm else steps.retire
    return retire(target, builders.release("r2"), keep_warm=True, prune=PRUNE, grace=1)


@pytest.mark.parametrize("swarm", [False, True])
@pytest.mark.parametrize(
    ("site", "release"), [("links-staging", "r0"), ("links-prod", "r1")], ids=["another site", "another release"]
)
def test_an_image_that_a_kept_release_of_any_site_has_stays(
    machine: Machine, site: str, release: str, swarm: bool
) -> None:
    recorded(machine, site, release)
    machine.run(retired(swarm=swarm))
    asked = machine.home / "asked"
    assert not asked.exists() or "image rm" not in asked.read_text()
    assert not (machine.site / "releases/r0").exists()


@pytest.mark.parametrize("swarm", [False, True])
def test_an_image_that_nobody_has_any_more_goes(machine: Machine, swarm: bool) -> None:
    machine.run(retired(swarm=swarm))
    assert "image rm links:sha-0" in (machine.home / "asked").read_text()
