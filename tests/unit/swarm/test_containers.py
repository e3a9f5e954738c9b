"""Where a command goes inside, when the release's containers may be on any node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portside import containers
from portside.errors import CommandError, ConfigError, HostError
from tests.unit import builders
from tests.unit.standing_host import SITE
from tests.unit.swarm.test_ground import NEWER, RELEASE, Node

ENGINE = """#!/bin/sh
case "$1" in
ps) cat "$HOME/containers" ;;
exec) echo "$@, says ${HOME##*/}" ;;
logs) echo "logs of ${HOME##*/}" ;;
esac
"""
ENVIRONMENT = builders.environment(orchestrator="swarm", registry="registry.example.com/acme/links")
RUNS = "links-prod||links-prod-blue|{0}|{1}||{1}-of-{2}|running|links-prod-{1}.1.x|links:1|Up\n"


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    found = [Node(name, tmp_path / name) for name in "abc"]
    for node in found:
        (tmp_path / node.name / "bin/docker").write_text(ENGINE)
        node.serves(RELEASE)
    return found


def runs(folder: Path, node: str, service: str, release: str = RELEASE.id) -> None:
    text = RUNS.format(release, service, node)
    (folder / node / "containers").write_text(text)


async def test_a_command_goes_to_whichever_node_has_the_service(
    nodes: list[Node], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs(tmp_path, "a", "web")
    runs(tmp_path, "c", "worker")
    assert await containers._exec(SITE, nodes, "worker", ["id"], {}, environment=ENVIRONMENT) == 0
    assert capfd.readouterr().out == "exec worker-of-c id, says c\n"


async def test_a_node_that_was_away_is_not_asked_for_what_it_has_left_of_an_older_release(
    nodes: list[Node], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for node in nodes[1:]:
        node.serves(NEWER, operation="op-1", committed=builders.NOW.replace(day=24))
        runs(tmp_path, node.name, "web", NEWER.id)
    runs(tmp_path, "a", "web")
    await containers._exec(SITE, nodes, "web", ["id"], {}, environment=ENVIRONMENT)
    assert capfd.readouterr().out == "exec web-of-b id, says b\n"


async def test_where_no_node_has_it_those_that_could_not_be_asked_are_named(nodes: list[Node]) -> None:
    with pytest.raises(CommandError, match="no container of worker is running") as caught:
        await containers._exec(
            SITE, nodes[1:], "worker", ["id"], {"a": HostError("gone", where="a")}, environment=ENVIRONMENT
        )
    assert caught.value.where == "b, c"
    assert "gone" in caught.value.why


def closed(folder: Path, *nodes: str) -> None:
    """Their Engines don't answer."""
    for node in nodes:
        (folder / node / "bin/docker").write_text(f'#!/bin/sh\necho "no Engine on {node}" >&2\nexit 1\n')


async def test_a_node_whose_engine_does_not_answer_keeps_no_command_from_another_one(
    nodes: list[Node], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    closed(tmp_path, "a", "c")
    runs(tmp_path, "b", "web")
    assert await containers._exec(SITE, nodes, "web", ["id"], {}, environment=ENVIRONMENT) == 0
    assert capfd.readouterr().out == "exec web-of-b id, says b\n"
    with pytest.raises(CommandError, match="no container of worker is running") as missing:
        await containers._exec(SITE, nodes, "worker", ["id"], {}, environment=ENVIRONMENT)
    assert missing.value.where == "b"
    assert "no Engine on a" in missing.value.why and "no Engine on c" in missing.value.why
    closed(tmp_path, "b")
    with pytest.raises(CommandError, match="3 hosts failed"):
        await containers._exec(SITE, nodes, "web", ["id"], {}, environment=ENVIRONMENT)


async def test_a_service_that_the_release_does_not_have_is_named_with_those_it_has(nodes: list[Node]) -> None:
    with pytest.raises(ConfigError, match="no service 'wroker'") as caught:
        await containers._exec(SITE, nodes, "wroker", ["id"], {}, environment=ENVIRONMENT)
    assert "web, worker" in caught.value.remedy


@pytest.fixture
def reachable(nodes: list[Node], checkout: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that are typed in the checkout are connected to all of the nodes."""

    @asynccontextmanager
    async def connected(*_: object) -> AsyncIterator[Sequence[Node]]:
        yield nodes

    monkeypatch.setattr(containers, "connected", connected)


def logs(service: str) -> None:
    containers.logs_command("prod", host=None, service=service, follow=False, tail=None, since=None, previous=False)


@pytest.mark.usefixtures("reachable")
def test_logs_of_a_service_that_there_is_not_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        logs("wroker")
    assert ended.value.code == ConfigError.exit_code
    said = capsys.readouterr().err
    assert "there is no service 'wroker'" in said
    assert "web, worker" in said


@pytest.mark.usefixtures("reachable")
def test_logs_name_a_node_whose_engine_does_not_answer_and_show_those_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed(tmp_path, "a")
    runs(tmp_path, "b", "web")
    logs("web")
    shown = capsys.readouterr()
    assert shown.out == "b links-prod-web.1  | logs of b\n"
    assert "no Engine on a" in shown.err
