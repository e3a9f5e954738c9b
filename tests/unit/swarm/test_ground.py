"""Before a release to a Swarm: which host the others are brought up to. Real scripts, a home folder for each host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from portside.command import Result
from portside.facts import State
from portside.fleet import read_states
from portside.host.base import Input
from portside.host.local import LocalHost
from portside.lock import Lease
from portside.release import Release
from portside.site import Site
from portside.swarm.ground import Ground, gathered
from tests.unit import builders
from tests.unit.standing_host import SITE, Said, StandingHost

# Every host is a manager of its own, and node n1 of a Swarm of one.
ENGINE = """#!/bin/sh
case "$1" in
info) echo "active true false n1" ;;
node) echo "n1 Ready Active one" ;;
esac
"""
RELEASE = builders.release()
NEWER = builders.release("20261124-090000-bbbbbb")


class Node(LocalHost):
    """This machine, at home in a folder."""

    def __init__(self, name: str, home: Path) -> None:
        super().__init__()
        home.mkdir()
        self.name, self._home = name, home
        self.standing = StandingHost(home)
        (home / "bin/docker").write_text(ENGINE)

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        homed = ["env", f"HOME={self._home}", f"PATH={self._home}/bin:/usr/bin:/bin", *argv]
        return await super().run(homed, stdin=stdin, timeout=timeout)

    def serves(self, release: Release, **current: Any) -> None:
        self.standing.serves(release)
        committed = builders.current(release.id, **current)
        (self.standing.site / "current.json").write_text(committed.model_dump_json() + "\n")

    @property
    def _folder(self) -> Path:
        return self.standing.base / "proxy/routes" / SITE

    def goes_by(self, route: str | None) -> None:
        if route is None:
            (self._folder / "route").unlink()
        else:
            (self._folder / "route").write_text(f"{route}\n")

    @property
    def route(self) -> str:
        return (self._folder / "route").read_text().strip()


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    return [Node(name, tmp_path / name) for name in "abc"]


async def ready(nodes: Sequence[Node]) -> tuple[Ground, list[str]]:
    """Where a release would begin, and what was said until then."""
    states: dict[str, State] = await read_states(nodes, SITE, full=False)
    leases = {node.name: Lease(node, "1", None) for node in nodes}  # type: ignore[arg-type]
    config = builders.config(orchestrator="swarm", registry="registry.example.com/acme/links")
    said = Said()
    site = Site(config, config.environment("prod"), list(nodes), leases, states, said)
    return await gathered(site, None), said.lines


@pytest.mark.parametrize("broken", [None, "green", ""])
async def test_one_host_without_its_route_or_with_another_one_is_the_only_one_that_is_mended(
    nodes: list[Node], broken: str | None
) -> None:
    for node in nodes:
        node.serves(RELEASE)
    nodes[0].goes_by(broken)
    ground, said = await ready(nodes)
    assert [node.route for node in nodes] == ["blue"] * 3
    assert said[-1].endswith(": a.")
    assert ground.acts == "a"


async def test_where_no_route_leads_there_any_more_all_of_them_go_to_what_is_committed(nodes: list[Node]) -> None:
    for node in nodes:
        node.serves(RELEASE)
        node.goes_by("green")
    await ready(nodes)
    assert [node.route for node in nodes] == ["blue"] * 3


async def test_what_stands_behind_stays_there_on_every_node(nodes: list[Node]) -> None:
    for node in nodes:
        node.serves(RELEASE)
        node.goes_by("blue>green")
    nodes[0].goes_by(None)
    await ready(nodes)
    assert [node.route for node in nodes] == ["blue>green"] * 3


async def test_who_committed_last_leads_also_where_the_route_of_another_one_is_the_better_one(
    nodes: list[Node],
) -> None:
    nodes[0].serves(RELEASE)
    for node in nodes[1:]:
        node.serves(NEWER, slot="green", operation="op-1", committed=builders.NOW.replace(day=24))
        node.goes_by("blue")
    await ready(nodes)
    assert [node.route for node in nodes] == ["green"] * 3
