"""Before a release to a Swarm: which host the others are brought up to. Real scripts, a home folder for each host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portside import guarding, steps
from portside.command import Result
from portside.errors import ConfigError, HostError
from portside.facts import State
from portside.fleet import read_states
from portside.host.base import Channel, Input
from portside.host.local import LocalHost
from portside.journal import Operation
from portside.lock import Lease
from portside.orders import run_step
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
        return await super().run(self._homed(argv), stdin=stdin, timeout=timeout)

    async def open(self, argv: Sequence[str], *, stderr_to_stdout: bool = False) -> Channel:
        return await super().open(self._homed(argv), stderr_to_stdout=stderr_to_stdout)

    def _homed(self, argv: Sequence[str]) -> list[str]:
        return ["env", f"HOME={self._home}", f"PATH={self._home}/bin:/usr/bin:/bin", *argv]

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

    def shows(self, page: bool, *operations: Operation) -> None:
        """The maintenance page or none, after `operations`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "maintenance").write_text("on\n" if page else "off\n")
        lines = [builders.entry("maintenance", "end", each).model_dump_json() for each in operations]
        (self.standing.site / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))

    @property
    def page(self) -> str:
        return (self._folder / "maintenance").read_text().strip()

    @property
    def route(self) -> str:
        return (self._folder / "route").read_text().strip()


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    return [Node(name, tmp_path / name) for name in "abc"]


async def opened(nodes: Sequence[Node]) -> Site:
    states: dict[str, State] = await read_states(nodes, SITE, full=False)
    leases = {node.name: Lease(node, "1", None) for node in nodes}  # type: ignore[arg-type]
    config = builders.config(orchestrator="swarm", registry="registry.example.com/acme/links", hosts=["a", "b", "c"])
    return Site(config, config.environment("prod"), list(nodes), leases, states, Said())


async def ready(nodes: Sequence[Node]) -> tuple[Ground, list[str]]:
    """Where a release would begin, and what was said until then."""
    site = await opened(nodes)
    said = site.reporter
    assert isinstance(said, Said)
    return await gathered(site), said.lines


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


def maintenance(identity: str, *, whole: bool = True) -> Operation:
    return Operation(id=identity, kind="maintenance", owner="me", swarm="follows" if whole else "")


@pytest.mark.parametrize("page", [True, False])
async def test_a_node_that_was_away_shows_the_maintenance_page_if_the_others_do(nodes: list[Node], page: bool) -> None:
    nodes[0].shows(not page, maintenance("1"))
    for node in nodes[1:]:
        node.shows(page, maintenance("1"), maintenance("2"))
    _, said = await ready(nodes)
    assert {node.page for node in nodes} == {"on" if page else "off"}
    assert said[-1].endswith("there, too: a.")
    _, said = await ready(nodes)
    assert "there, too" not in "".join(said), "its journal says so as well by now"


async def test_a_node_that_was_away_learns_of_the_page_however_many_releases_have_come_since(
    nodes: list[Node],
) -> None:
    nodes[0].shows(True, maintenance("1"))
    site = await opened(nodes)
    for node in nodes[1:]:
        await run_step(site.target(node.name, maintenance("2")), steps.maintenance(on=False))
        with (node.standing.site / "journal.jsonl").open("a") as journal:
            journal.write(f"{builders.entry('retire', 'end', builders.operation()).model_dump_json()}\n" * 400)
    await ready(nodes)
    assert {node.page for node in nodes} == {"off"}


async def test_a_page_of_one_host_is_that_host_s_own_affair(nodes: list[Node]) -> None:
    nodes[0].shows(True, maintenance("1"), maintenance("2", whole=False))
    for node in nodes[1:]:
        node.shows(False, maintenance("1"))
    await ready(nodes)
    assert [node.page for node in nodes] == ["on", "off", "off"]


@pytest.mark.usefixtures("checkout")
def test_who_turns_the_page_on_is_told_which_nodes_missed_it(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def opening(*_: object, **__: object) -> AsyncIterator[Site]:
        yield await opened(nodes[1:])

    monkeypatch.setattr(guarding, "opened", opening)
    guarding.maintenance_command("prod", on=True, off=False, host=None, machine=False)
    assert [node.page for node in nodes[1:]] == ["on", "on"]
    assert "Not on a, which can't be reached" in capsys.readouterr().out


async def test_a_node_that_can_t_be_reached_is_none_that_there_isn_t(nodes: list[Node]) -> None:
    site = await opened(nodes[1:])
    assert site.chosen("b") == ["b"]
    with pytest.raises(HostError, match="can't be reached") as lost:
        site.chosen("a")
    assert lost.value.where == "a"
    with pytest.raises(ConfigError, match="no host 'd' in prod") as unknown:
        site.chosen("d")
    assert unknown.value.remedy == "It has: a, b, c."
