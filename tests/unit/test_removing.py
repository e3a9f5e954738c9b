"""What `invoke remove` refuses before a host is asked, and says where it is cut off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.console import Console

from portside import removing
from portside.errors import ConfigError, HostError, InterruptionError, PortsideError
from portside.host.local import LocalHost
from portside.removing import remove, remove_command
from portside.report import Lines
from portside.site import Site
from tests.unit import builders

SINGLE = '[service]\nname = "links"\n[env.prod]\nhosts = ["a", "b"]\n'
SWARM = f'{SINGLE}orchestrator = "swarm"\nregistry = "registry.example.com/acme/links"\n'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("toml", "name", "said"),
    [
        (SINGLE, "../../proxy", "--name: '../../proxy' is no service's name"),
        (SINGLE, "", "--name: '' is no service's name"),
        (SWARM, None, "docker stack rm links-prod-blue links-prod-green"),
    ],
)
def test_what_is_no_site_of_single_hosts_is_refused(
    checkout: Path, capsys: pytest.CaptureFixture[str], toml: str, name: str | None, said: str
) -> None:
    (checkout / "portside.toml").write_text(toml)
    with pytest.raises(SystemExit) as ended:
        remove_command("prod", host=None, name=name, volumes=False, dry_run=False, yes=True, machine=False)
    assert ended.value.code == 3
    assert said in " ".join(capsys.readouterr().err.split())


def site() -> Site:
    config = builders.config()
    hosts = [LocalHost(), LocalHost()]
    for host, name in zip(hosts, ("deploy@a", "deploy@b"), strict=True):
        host.name = name
    return Site(config, config.environment("prod"), [*hosts], {}, {}, Lines(Console()))


def test_who_removes_a_site_from_one_host_is_told_to_take_that_out_of_the_hosts() -> None:
    said = removing._removed(site(), "a", renamed=False)
    assert said.splitlines()[1:] == ["→ Take it out of `hosts` of [env.prod] now: the next release brings it back."]
    assert "→" not in removing._removed(site(), None, renamed=False)
    assert "→" not in removing._removed(site(), "a", renamed=True)


def test_a_host_that_left_the_configuration_first_is_put_back_for_its_removal() -> None:
    with pytest.raises(ConfigError, match="no host 'c'") as caught:
        removing._chosen(site(), "c")
    assert caught.value.remedy.endswith(
        "If it was taken out of `hosts` of [env.prod], put it back, remove it, then take it out again."
    )


@pytest.mark.parametrize(
    ("happens", "raised"),
    [
        (HostError("the proxy hung up"), HostError),
        (asyncio.CancelledError(), InterruptionError),
    ],
)
async def test_what_is_cut_off_half_way_says_that_it_may_be_typed_again(
    monkeypatch: pytest.MonkeyPatch, happens: BaseException, raised: type[PortsideError]
) -> None:
    async def leave(_: object) -> None:
        raise happens

    monkeypatch.setattr(removing, "leave", leave)
    config = builders.config()
    empty = Site(config, config.environment("prod"), [], {}, {}, Lines(Console()))
    with pytest.raises(raised) as caught:
        await remove(empty, None, volumes=False)
    assert caught.value.remedy.startswith("Type the same again")
