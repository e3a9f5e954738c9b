"""`invoke restart`: which image serves, and that it is the one that starts anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portside.cli import Terminal
from portside.config import load_config
from portside.errors import ConfigError, LockError, UnfinishedError
from portside.facts import State
from portside.host.local import LocalHost
from portside.operations import would_deploy, would_roll_back
from portside.plan import Change, Plan
from portside.release import Image, Release
from portside.releasing import _Asking, _draft_of, deploy_command, restart_command, serving_release
from portside.site import Site
from portside.surroundings import Surroundings
from tests.unit import builders
from tests.unit.builders import NOW, current, entry, operation, state
from tests.unit.standing_host import Said, StandingHost

ONE, TWO = (Image(reference=f"registry.example.com/links@sha256:{digit * 64}") for digit in "12")
R1, R2 = builders.release("20261123-154501-aaaaaa", image=ONE), builders.release("20261124-090000-bbbbbb", image=TWO)
LATER = NOW.replace(day=24)


def serves(release: Release, **changes: Any) -> State:
    return state(current=current(release.id, **changes), releases={release.id: release})


def site(states: dict[str, State], **environment: Any) -> Site:
    config = builders.config(**environment)
    hosts = [LocalHost() for _ in states]
    for host, name in zip(hosts, states, strict=True):
        host.name = name
    return Site(config, config.environment("prod"), list(hosts), {}, states, Said())


def test_the_image_that_serves_starts_anew_also_where_a_host_has_nothing_yet() -> None:
    lost = state(current=current(R1.id))
    assert serving_release(site({"a": serves(R1), "b": serves(R1), "c": state(), "d": lost}), None) == R1


def test_where_hosts_serve_different_images_each_is_named_with_what_to_type() -> None:
    both = site({"deploy@a": serves(R1), "deploy@b": serves(R2)})
    with pytest.raises(ConfigError, match="different images") as caught:
        serving_release(both, None)
    assert caught.value.why.splitlines() == [f"deploy@a: {ONE.reference}", f"deploy@b: {TWO.reference}"]
    assert f"invoke deploy --env prod --image {ONE.reference}" in caught.value.remedy
    assert serving_release(both, "b") == R2


@pytest.mark.parametrize("there", [state(), state(current=current(R1.id))], ids=["nothing", "files that are gone"])
def test_where_nothing_is_known_to_serve_the_error_says_how_to_release(there: State) -> None:
    with pytest.raises(ConfigError, match="nothing is known to serve") as caught:
        serving_release(site({"a": there}), None)
    assert "invoke deploy --env prod --image IMAGE" in caught.value.remedy


def test_a_node_of_a_swarm_that_was_away_has_no_say() -> None:
    swarm = site({"a": serves(R1), "b": serves(R2, committed=LATER)}, orchestrator="swarm")
    assert serving_release(swarm, None) == R2


def test_what_a_dead_deployer_left_is_ended_first() -> None:
    """It may be committed and not fit to serve alone: another release would end what answers for it."""
    left = state(current=current(R1.id), releases={R1.id: R1}, journal=(entry("start", "begin", operation()),))
    with pytest.raises(UnfinishedError) as caught:
        serving_release(site({"a": left}), None)
    assert caught.value.remedy.startswith("invoke status --env prod undoes it")


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (Change("image", TWO.reference, ONE.reference), True),
        (Change("image", "none", ONE.reference), False),
        (Change("env", "", "LEVEL changes"), False),
    ],
    ids=["somebody released meanwhile", "a host that has nothing yet", "a setting"],
)
async def test_another_image_that_serves_by_the_time_of_the_lock_isn_t_taken_away(
    change: Change, refused: bool
) -> None:
    asking = _Asking(Terminal(machine=True), builders.environment(), yes=True, same_image=True)
    plan = Plan("r3", {"a": (change,)})
    if not refused:
        assert await asking(plan)
        return
    with pytest.raises(LockError) as caught:
        await asking(plan)
    assert caught.value.why == f"a: {TWO.reference}"


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed in a checkout, while R1 is what its host serves."""
    home, checkout = (tmp_path_factory.mktemp(name) for name in ("home", "checkout"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/bin:/usr/bin:/bin")
    monkeypatch.chdir(checkout)
    StandingHost(home).serves(R1)
    project(checkout)


@pytest.mark.usefixtures("served")
def test_nothing_is_built_and_all_but_the_image_is_the_checkout_s(capsys: pytest.CaptureFixture[str]) -> None:
    restart_command("prod", host=None, dry_run=True, yes=False, machine=True)
    said = capsys.readouterr()
    assert ONE.reference in said.err
    (changes,) = json.loads(said.out)["hosts"].values()
    assert "image" not in {change["what"] for change in changes}
    assert "GREETING is added" in {change["after"] for change in changes}


async def test_a_plan_for_one_host_is_about_that_one_alone(tmp_path: Path) -> None:
    project(tmp_path)
    config = load_config(tmp_path)
    both = site({"deploy@a": serves(R1), "deploy@b": serves(R1)})
    made = await _draft_of(config, config.environment("prod"), R1)
    surroundings = await Surroundings.read(config, config.environment("prod"))
    assert list(would_deploy(made, surroundings, both, only=None).hosts) == ["deploy@a", "deploy@b"]
    assert list(would_deploy(made, surroundings, both, only="b").hosts) == ["deploy@b"]


async def test_a_plan_for_one_node_of_a_swarm_is_refused_as_its_release_would_be(tmp_path: Path) -> None:
    project(tmp_path)
    config = load_config(tmp_path)
    registry = "registry.example.com/links"
    swarm = site({"deploy@a": serves(R1), "deploy@b": serves(R1)}, orchestrator="swarm", registry=registry)
    made = await _draft_of(config, config.environment("prod"), R1)
    surroundings = await Surroundings.read(config, config.environment("prod"))
    with pytest.raises(ConfigError, match="a Swarm is released to as a whole"):
        would_deploy(made, surroundings, swarm, only="b")
    with pytest.raises(ConfigError, match="a Swarm is released to as a whole"):
        would_roll_back(swarm, None, only="b")


def test_a_rollback_goes_back_to_what_any_of_the_hosts_had_before() -> None:
    """The one that committed last may be new, or repaired."""
    both = {R1.id: R1, R2.id: R2}
    fresh = state(current=current(R2.id, committed=LATER), releases=both)
    served = state(current=current(R2.id, previous=R1.id), releases=both)
    assert would_roll_back(site({"a": fresh, "b": served}), None, only=None).release == R1.id
    with pytest.raises(ConfigError, match="no release before"):
        would_roll_back(site({"a": fresh}), None, only=None)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("command", ["deploy", "restart"])
def test_a_dry_run_for_a_host_that_isn_t_there_is_refused(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        if command == "deploy":
            deploy_command(
                "prod", image=ONE.reference, host="web-9", dry_run=True, yes=False, force=False, machine=True
            )
        else:
            restart_command("prod", host="web-9", dry_run=True, yes=False, machine=True)
    assert "no host 'web-9' in prod" in capsys.readouterr().out


async def test_the_release_that_starts_anew_says_which_commit_its_image_is_of(tmp_path: Path) -> None:
    project(tmp_path)
    config = load_config(tmp_path)
    earlier, later = (
        builders.release(f"r{commit}", image=ONE, commit=commit, created=created)
        for commit, created in (("abc", NOW), ("def", LATER))
    )
    serving = serving_release(site({"a": serves(later), "b": serves(earlier)}), None)
    made = (await _draft_of(config, config.environment("prod"), serving)).release(previous=None, created=LATER)
    assert (made.image, made.commit) == (ONE, "def")


def project(root: Path) -> None:
    """One that can't be built: it has no Dockerfile."""
    (root / "compose").mkdir()
    (root / "compose/app.yaml").write_text("services: { web: {} }\n")
    (root / "compose/proxy.yaml").write_text((Path(__file__).parents[2] / "compose/proxy.yaml").read_text())
    (root / "portside.toml").write_text(
        """
[service]
name = "links"
compose = "compose/app.yaml"

[env.prod]
hosts = []
env = { GREETING = "hello" }
"""
    )
