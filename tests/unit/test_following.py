"""Logs that are followed go on into the next release, and never end without a word. Real scripts, Docker a stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from portside import containers, following
from portside.errors import CommandError, ConfigError
from portside.facts import State
from portside.following import Logs
from tests.unit import builders
from tests.unit.standing_host import SITE
from tests.unit.swarm.test_ground import Node

OLD, NEW = builders.release(), builders.release("20261124-090000-bbbbbb")
LINE = "links-prod||links-prod-{0}|{1}|web||{0}-id|running|links-prod-{0}-web-1|links:1|Up"
# Each slot's logs end when its containers are stopped, which is when `after-SLOT` happens.
ENGINE = """#!/bin/sh
case "$*" in
"ps -a"*)
  if [ -e "$HOME/next-look" ]; then sh "$HOME/next-look" && rm "$HOME/next-look"; fi
  cat "$HOME/containers"
  ;;
*blue*) echo "$@" >>"$HOME/asked"; echo "blue of ${HOME##*/}"; sh "$HOME/after-blue" ;;
*green*) echo "$@" >>"$HOME/asked"; echo "green of ${HOME##*/}"; : >"$HOME/containers" ;;
esac
"""


class Moving(Node):
    """A host that serves `OLD` in blue; what happens once that is stopped is a script."""

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(name, home)
        self.home = home
        (home / "bin/docker").write_text(ENGINE)
        self.serves(OLD)
        self.then("true")
        self.runs("blue", OLD.id)

    def runs(self, slot: str, release: str) -> None:
        (self.home / "containers").write_text(LINE.format(slot, release) + "\n")

    def then(self, script: str, when: str = "after-blue") -> None:
        (self.home / when).write_text(script)

    def switched(self) -> str:
        return f"echo green >{self.standing.base}/proxy/routes/{SITE}/route\n"

    def started(self) -> str:
        return f"echo '{LINE.format('green', NEW.id)}' >$HOME/containers\n"

    def asked(self) -> list[str]:
        return (self.home / "asked").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moving:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0)
    return Moving("a", tmp_path / "a")


def state(clock: float = 5) -> State:
    return builders.state(clock=clock, current=builders.current(OLD.id), route="blue")


def logs(said: list[str], **changes: object) -> Logs:
    asked = Logs(SITE, builders.environment(), None, "10", None, True, False, False, said.append)
    return replace(asked, **changes)  # type: ignore[arg-type]


async def test_the_next_release_s_logs_follow_from_where_the_first_ones_began(
    host: Moving, capfd: pytest.CaptureFixture[str]
) -> None:
    host.then(host.switched() + host.started())
    said: list[str] = []
    with pytest.raises(CommandError, match=f"{NEW.id} has ended") as ended:
        await logs(said).stream(host, state())
    assert capfd.readouterr().out == "blue of a\ngreen of a\n"
    assert said == [f"a: {OLD.id} has ended; {NEW.id} serves, and its logs follow."]
    assert [line.partition("--tail ")[2] for line in host.asked()] == ["10 --follow", "all --follow --since 5.000"]
    assert "invoke status --env prod" in ended.value.remedy


async def test_what_is_started_again_says_nothing_twice(host: Moving) -> None:
    host.then("mv $HOME/later $HOME/after-blue")
    host.then(host.switched() + host.started(), "later")
    said: list[str] = []
    with pytest.raises(CommandError):
        await logs(said).stream(host, state())
    assert said[0] == f"a: {OLD.id} has ended; {OLD.id} serves, and its logs follow."
    assert float(host.asked()[1].rpartition(" ")[2]) > 5


async def test_a_role_that_stops_first_is_waited_for_while_somebody_releases(
    host: Moving, capfd: pytest.CaptureFixture[str]
) -> None:
    (host.standing.site / "lock/expires").write_text("4102444800\n")
    host.then(f"{host.switched()}: >$HOME/containers; mv $HOME/later $HOME/next-look")
    # Not at the first look: that one still finds nothing.
    host.then(
        f"[ -e $HOME/seen ] || {{ touch $HOME/seen; exit 1; }}\n{host.started()}rm {host.standing.site}/lock/*", "later"
    )
    with pytest.raises(CommandError):
        await logs([]).stream(host, state())
    assert capfd.readouterr().out == "blue of a\ngreen of a\n"


async def test_logs_of_a_release_that_ended_before_have_an_end(host: Moving, capfd: pytest.CaptureFixture[str]) -> None:
    current = builders.current(NEW.id, "green", previous=OLD.id, previous_slot="blue")
    await logs([], previous=True).stream(host, builders.state(current=current))
    await logs([], follow=False).stream(host, state())
    assert capfd.readouterr().out == "blue of a\nblue of a\n"


@pytest.fixture
def pair(host: Moving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Moving]:
    """Two hosts, and a checkout whose prod they are."""
    (tmp_path / "portside.toml").write_text(
        '[service]\nname = "links"\n[env.prod]\nhosts = ["a", "b:2222"]\nssh_config = "ssh"\n'
    )
    monkeypatch.chdir(tmp_path)
    found = [host, Moving("b:2222", tmp_path / "b")]

    @asynccontextmanager
    async def connected(*_: object) -> AsyncIterator[Sequence[Moving]]:
        yield found

    monkeypatch.setattr(containers, "connected", connected)
    return found


def typed(*, follow: bool = False, service: str | None = None) -> None:
    containers.logs_command("prod", host=None, service=service, follow=follow, tail="10", since=None, previous=False)


def test_a_host_whose_logs_end_for_good_ends_no_other_one_s(
    pair: list[Moving], capfd: pytest.CaptureFixture[str]
) -> None:
    pair[0].then(": >$HOME/containers")
    pair[1].then(pair[1].switched() + pair[1].started())
    with pytest.raises(SystemExit) as ended:
        typed(follow=True)
    assert ended.value.code == CommandError.exit_code
    shown = capfd.readouterr()
    assert "b:2222 green of b\n" in shown.out
    assert f"a: {OLD.id} has ended, and no container of links-prod serves" in shown.err


def accessory(host: Moving) -> None:
    with (host.home / "containers").open("a") as file:
        file.write("||links-prod-accessories||postgres||id|running|links-prod-accessories-postgres-1|postgres:17|Up\n")


def test_logs_of_an_accessory_are_had_by_the_line_that_is_named(
    pair: list[Moving], capsys: pytest.CaptureFixture[str]
) -> None:
    accessory(pair[1])
    with pytest.raises(SystemExit) as ended:
        typed(service="postgres")
    assert ended.value.code == ConfigError.exit_code
    said = capsys.readouterr().err
    assert "ssh -F ssh -p 2222 b docker logs --tail 10 links-prod-accessories-postgres-1\n" in said


async def test_a_command_in_an_accessory_is_run_by_the_line_that_is_named(host: Moving) -> None:
    accessory(host)
    argv = ["psql", "-U", "links", "links"]
    environment = builders.environment()
    with pytest.raises(ConfigError) as plain:
        await containers._exec(SITE, [host], "postgres", argv, {}, environment=environment)
    container = "docker exec -i links-prod-accessories-postgres-1"
    assert plain.value.remedy == f"It is an accessory: ssh a {container} psql -U links links"
    with pytest.raises(ConfigError) as quoted:
        await containers._exec(SITE, [host], "postgres", ["psql", "-c", "select 1"], {}, environment=environment)
    assert quoted.value.remedy.startswith(f"It is an accessory: ssh a '{container} psql -c ")


def test_the_logs_before_are_of_what_was_left_even_where_nothing_was_released_before_that() -> None:
    """As after a rollback to the very first release; and the other way round, where nothing served."""
    previous = logs([], previous=True, follow=False)
    left = builders.state(current=builders.current(OLD.id, previous=None, previous_slot="green"), route="blue")
    containers._check_logs(previous, {"a": left})
    assert previous.slot(left) == "green"
    nothing = builders.state(current=builders.current(NEW.id, previous=OLD.id, previous_slot=None), route="blue")
    with pytest.raises(ConfigError, match="no such release"):
        containers._check_logs(previous, {"a": nothing})
