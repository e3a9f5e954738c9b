"""What a release does to the proxy of a host, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portside.config import Config, Observe
from portside.delivery import Delivery
from portside.errors import HostError, PreflightError, UnfinishedError
from portside.facts import Proxy
from portside.journal import Kind
from portside.making import Accessories, Draft, read_proxy
from portside.markers import site_targets, site_url
from portside.operations import _announced, _served, _surrounded, deploy, rollback_plan
from portside.plan import Plan
from portside.proxies import proxy_plan
from portside.proxy import Door, with_site
from portside.proxy_ports import unpublished
from portside.release import Image
from portside.rollout import Rollout
from portside.silence import Silence
from portside.site import Site
from portside.steps import Target
from portside.surroundings import Surroundings
from portside.watch import Watch
from tests.unit import builders
from tests.unit.standing_host import Said, StandingHost, domains

ROOT = Path(__file__).parents[2]
R1, R2 = builders.release("r1"), builders.release("r2")
# Made from a Compose file, and with an image of somebody else's.
R0 = builders.release("r0", compose="services: {web: {image: 'links:sha-1'}, cache: {image: 'redis:7'}}")
OLD, NEW = "old.example.com", "new.example.com"
HERE = ["localhost"]


@pytest.fixture
async def host(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StandingHost]:
    # A socket's path may have 107 characters.
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/bin:/usr/bin:/bin")
    made = StandingHost(home)
    async with made.listening():
        yield made


def configured(**environment: Any) -> Config:
    return builders.config(ROOT, **environment)


def routed(config: Config, present: str = "") -> str:
    door = Door.of(R1)
    return with_site(present, config, config.environment("prod"), 2, {"blue": door, "green": door})


def around(config: Config, target: Target) -> tuple[Surroundings, Site, Delivery]:
    environment = config.environment("prod")
    surroundings = Surroundings(config, environment, None)
    site = Site(config, environment, [target.host], {}, {target.host.name: target.state}, Said())
    return surroundings, site, Delivery(config, environment, Said(), [target.host])


async def test_a_site_is_asked_by_its_new_domain_from_the_commit_on(host: StandingHost) -> None:
    before, config = routed(configured(domain=OLD)), configured(domain=NEW)
    host.runs_proxy(before)
    host.serves(R1)
    target = await host.target()
    surroundings, site, delivery = around(config, target)
    await surroundings.ensure(site, [target], R2, delivery)
    assert (host.kept, host.loaded) == (before, []), "an undo finds the proxy as it was"
    await surroundings.move(site, [target], R2)
    assert domains(host.kept) == [NEW]
    assert host.loaded == [host.kept]


async def test_what_is_published_for_another_site_of_the_host_stays_so(host: StandingHost) -> None:
    first = configured(http="0.0.0.0:80", https="0.0.0.0:443", domain=OLD)
    proxy = read_proxy(first, first.environment("prod"))
    host.runs_proxy(routed(first).replace("links-prod", "links-staging"), proxy.compose)
    second = configured(http="0.0.0.0:80", domain=NEW)
    surroundings, site, _ = around(second, await host.target())
    assert surroundings.desired(R2, site).proxy_fingerprint == {"localhost": proxy.fingerprint}
    host.runs_proxy(routed(first), proxy.compose)
    alone, site, _ = around(second, await host.target())
    only_http = read_proxy(second, second.environment("prod"))
    assert alone.desired(R2, site).proxy_fingerprint == {"localhost": only_http.fingerprint}, "its own may go"


async def agreed(plan: Plan) -> bool:
    return True


async def declined(plan: Plan) -> bool:
    return False


HTTPS: dict[str, Any] = {"http": "0.0.0.0:80", "https": "0.0.0.0:443", "domain": OLD}


@pytest.mark.parametrize(
    ("present", "serves"), [("links-prod", True), ("api-prod", False)], ids=["https is new", "the site is new"]
)
async def test_a_site_isn_t_moved_to_where_the_proxy_publishes_nothing(
    host: StandingHost, present: str, serves: bool
) -> None:
    first = configured(http="0.0.0.0:80", domain=NEW)
    host.runs_proxy(routed(first).replace("links-prod", present), read_proxy(first, first.environment("prod")).compose)
    if serves:
        host.serves(R1)
    config = configured(hosts=[], accessory_hosts=[], min_disk_mb=0, **HTTPS)
    kept = host.kept
    with pytest.raises(PreflightError) as caught:
        await deploy(drafted(config), Said(), confirm=agreed)
    assert "0.0.0.0:443:443 isn't published" in caught.value.why
    assert "invoke host-bootstrap --env prod" in caught.value.remedy
    assert (host.kept, host.loaded) == (kept, [])


@pytest.mark.slow  # a release that has just started gets five seconds to become fit
@pytest.mark.parametrize(
    ("kind", "back"),
    [("deploy", "invoke rollback --env prod "), ("rollback", "invoke rollback --env prod --to r1 ")],
)
async def test_a_deploy_is_refused_before_it_changes_anything_where_the_release_before_can_t_serve_alone(
    host: StandingHost, kind: Kind, back: str
) -> None:
    host.serves(R1)
    host.serves(R2)
    host.left_behind(builders.operation(kind=kind, slot="green", previous_slot="blue"))
    config = configured(hosts=[], accessory_hosts=[], min_disk_mb=0)
    draft = Draft(config, config.environment("prod"), {"services": {"web": {}}}, {}, Image(reference="links:1"), "", "")
    with pytest.raises(PreflightError, match="can't serve alone") as caught:
        await deploy(draft, Said(), confirm=declined)
    assert f"{back}(or" in caught.value.remedy


def drafted(config: Config) -> Draft:
    return Draft(
        config, config.environment("prod"), {"services": {"web": {}}}, {}, Image(reference="links:1"), "a", "me"
    )


async def test_a_bootstrap_publishes_what_a_new_address_needs_and_leaves_the_site_at_its_old_one(
    host: StandingHost,
) -> None:
    first = configured(http="0.0.0.0:80", domain=OLD)
    config = configured(hosts=[], accessory_hosts=[], min_disk_mb=0, **HTTPS | {"domain": NEW})
    host.runs_proxy(routed(first), read_proxy(first, first.environment("prod")).compose)
    draft = drafted(config)
    serving = draft.release(previous=None, created=builders.NOW)
    host.serves(serving)
    target = await host.target()
    surroundings, site, delivery = around(config, target)
    await surroundings.ensure(site, [target], serving, delivery, apply=True)
    assert domains(host.kept) == [OLD]
    target = await host.target()
    assert unpublished(site.environment, target.state.proxy_compose) == []
    listed = proxy_plan(config, site.environment, [target.host], {target.host.name: target.state})
    assert "proxy route" not in [change.what for change in listed.hosts[target.host.name]]
    shown: list[Plan] = []

    async def asked(plan: Plan) -> bool:
        shown.append(plan)
        return False

    await deploy(draft, Said(), confirm=asked)
    (plan,) = shown
    assert [change.what for change in plan.hosts[target.host.name] if change.released] == ["proxy route"]


async def test_a_bootstrap_leaves_published_what_the_site_is_asked_at_until_it_has_moved(host: StandingHost) -> None:
    first, config = configured(**HTTPS), configured(http="0.0.0.0:80", domain=OLD)
    proxy = read_proxy(first, first.environment("prod"))
    host.runs_proxy(routed(first), proxy.compose)
    host.serves(R1)
    target = await host.target()
    surroundings, site, _ = around(config, target)
    assert surroundings.desired(R1, site).proxy_fingerprint == {"localhost": proxy.fingerprint}
    await surroundings.move(site, [target], R1)
    moved, site, _ = around(config, await host.target())
    only_http = read_proxy(config, config.environment("prod"))
    assert moved.desired(R1, site).proxy_fingerprint == {"localhost": only_http.fingerprint}


PORTS = [
    (HTTPS, HTTPS | {"https": "0.0.0.0:8443"}, "0.0.0.0:8443:443"),
    ({"http": "0.0.0.0:80", "domain": OLD}, {"http": "0.0.0.0:8080", "domain": OLD}, "0.0.0.0:8080:80"),
]


@pytest.mark.parametrize(("before", "after", "port"), PORTS, ids=["https", "http"])
async def test_a_port_that_changes_is_published_beside_the_old_one_until_a_deploy_has_told_monitoring(
    host: StandingHost, before: dict[str, Any], after: dict[str, Any], port: str
) -> None:
    first, config = configured(**before), configured(hosts=[], accessory_hosts=[], min_disk_mb=0, **after)
    host.runs_proxy(routed(first), read_proxy(first, first.environment("prod")).compose)
    draft = drafted(config)
    serving = draft.release(previous=None, created=builders.NOW)
    host.serves(serving)
    host.told(site_targets(serving, first, first.environment("prod"), "localhost"))
    with pytest.raises(PreflightError, match="doesn't publish what the site would be asked at") as caught:
        Surroundings(config, config.environment("prod"), None).check_ports({"localhost": (await host.target()).state})
    assert f"{port} isn't published" in caught.value.why
    for _ in ("first", "again"):
        target = await host.target()
        surroundings, site, delivery = around(config, target)
        await surroundings.ensure(site, [target], serving, delivery, apply=True)
        target = await host.target()
        for environment in (first.environment("prod"), site.environment):
            assert unpublished(environment, target.state.proxy_compose) == []
    assert site_url(_served(site)) == site_url(first.environment("prod")), "a rollback moves no address"
    shown: list[Plan] = []

    async def asked(plan: Plan) -> bool:
        shown.append(plan)
        return False

    await deploy(draft, Said(), confirm=asked)
    (change,) = (each for each in shown[0].hosts["localhost"] if each.released)
    urls = site_url(first.environment("prod")), site_url(site.environment)
    assert (change.what, change.before, change.after) == ("address", *urls)
    host.told(site_targets(serving, config, site.environment, "localhost"))
    target = await host.target()
    moved, site, _ = around(config, target)
    desired = moved.desired(serving, site)
    assert desired.ports == {}
    assert desired.proxy_fingerprint == {"localhost": read_proxy(config, site.environment).fingerprint}


async def test_a_port_that_was_the_host_s_own_has_to_be_published_before_it_is_everybody_s(host: StandingHost) -> None:
    first, config = configured(http="127.0.0.1:8080", domain=OLD), configured(http="0.0.0.0:8080", domain=OLD)
    host.runs_proxy(routed(first), read_proxy(first, first.environment("prod")).compose)
    host.serves(R1)
    surroundings, site, _ = around(config, await host.target())
    with pytest.raises(PreflightError, match="doesn't publish what the site would be asked at") as caught:
        surroundings.check_ports(site.states)
    assert "0.0.0.0:8080:80 isn't published" in caught.value.why
    assert site_url(_served(site)) == site_url(first.environment("prod")), "a rollback moves no address"


@pytest.mark.parametrize("before", [HTTPS, HTTPS | {"domain": NEW}], ids=["as before", "another domain"])
async def test_a_site_may_be_moved_to_where_the_proxy_publishes(host: StandingHost, before: dict[str, Any]) -> None:
    first = configured(**before)
    host.runs_proxy(routed(first), read_proxy(first, first.environment("prod")).compose)
    surroundings, site, _ = around(configured(**HTTPS), await host.target())
    surroundings.check_ports(site.states)


@pytest.mark.parametrize("ports", ['["80:80", "443:443"]', "[]"], ids=["without an address", "behind a tunnel"])
async def test_who_writes_a_proxy_s_ports_by_hand_answers_for_them(
    host: StandingHost, tmp_path: Path, ports: str
) -> None:
    first = configured(http="0.0.0.0:80", domain=OLD)
    shipped = (ROOT / "compose/proxy.yaml").read_text()
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/proxy.yaml").write_text(shipped.replace("${PORTSIDE_PROXY_PORTS}", ports))
    config = builders.config(tmp_path, **HTTPS)
    host.runs_proxy(routed(first), read_proxy(config, config.environment("prod")).compose)
    host.serves(R1)
    surroundings, site, _ = around(config, await host.target())
    surroundings.check_ports(site.states)


async def test_a_port_behind_what_is_published_by_hand_leaves_nothing_to_deploy(
    host: StandingHost, tmp_path: Path
) -> None:
    shipped = (ROOT / "compose/proxy.yaml").read_text()
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/proxy.yaml").write_text(shipped.replace("${PORTSIDE_PROXY_PORTS}", '["127.0.0.1:8443:443"]'))
    config = builders.config(tmp_path, **HTTPS)
    host.runs_proxy(routed(config), read_proxy(config, config.environment("prod")).compose)
    host.serves(R1)
    host.told(site_targets(R1, config, config.environment("prod"), "localhost"))
    surroundings, site, _ = around(config, await host.target())
    assert surroundings.desired(R1, site).ports == {}


async def test_a_proxy_that_is_yet_to_be_started_publishes_what_it_needs_to(host: StandingHost) -> None:
    surroundings, site, _ = around(configured(**HTTPS), await host.target())
    surroundings.check_ports(site.states)


async def test_a_site_that_is_asked_as_before_is_left_alone_after_the_commit(host: StandingHost) -> None:
    config = configured(domain=OLD)
    host.runs_proxy(routed(config))
    host.serves(R1)
    target = await host.target()
    surroundings, site, _ = around(config, target)
    await surroundings.move(site, [target], R2)
    assert host.loaded == []


async def test_where_nothing_serves_yet_the_domain_is_the_new_one_at_once(host: StandingHost) -> None:
    host.runs_proxy(routed(configured(domain=OLD)))
    target = await host.target()
    surroundings, site, delivery = around(configured(domain=NEW), target)
    await surroundings.ensure(site, [target], R1, delivery)
    assert domains(host.kept) == [NEW]


async def test_a_site_that_another_one_has_overtaken_is_refused_and_the_proxy_runs_with_what_is_kept(
    host: StandingHost,
) -> None:
    host.runs_proxy("")
    target = await host.target()
    surroundings, site, delivery = around(configured(), target)
    others = routed(configured()).replace("links-prod", "api-prod")
    host.runs_proxy(others)
    with pytest.raises(PreflightError, match="links-prod and api-prod are on one host"):
        await surroundings.ensure(site, [target], R1, delivery)
    assert host.kept.rstrip("\n") == host.loaded[-1].rstrip("\n") == others.rstrip("\n")


DATABASE = Accessories({"compose.yaml": "services: {}\n", "env": ""}, "f1", (), ("postgres",))


@pytest.mark.parametrize(
    ("state", "fingerprint", "changed"),
    [("running", "f1", []), ("exited", "f1", HERE), ("", "f1", HERE), ("running", "f0", HERE)],
    ids=["runs", "stopped", "removed", "another file"],
)
async def test_accessories_run_afterwards_whatever_somebody_did_to_them(
    host: StandingHost, state: str, fingerprint: str, changed: list[str]
) -> None:
    host.has_accessory("postgres", state, fingerprint)
    target = await host.target()
    surroundings, site, delivery = around(configured(hosts=[]), target)
    surroundings = replace(surroundings, accessories=DATABASE)
    assert await surroundings.ensure_accessories(site, [target], delivery) == changed
    assert host.started == ["links-prod-accessories"]
    assert host.renewed == ([] if fingerprint == "f1" else host.started), "what runs by its file isn't restarted"
    assert (await host.target()).state.accessories_fingerprint == "f1"


# Of three containers that don't run, two are on a network that is gone, and the file has one of these no more.
STRANDED = r"""#!/bin/sh
case "$1 $2" in
"ps -aq") printf 'c1\nc2\nc3\n' ;;
"network ls") printf 'n0\nn2\n' ;;
"inspect --format") printf 'postgres n1\ncache n2\nformer n1\n' ;;
"compose -p")
  case "$*" in
  *"config --services") printf 'cache\npostgres\n' ;;
  *) echo "${*##*--env-file }" >>"$HOME/composed" ;;
  esac
  ;;
esac
"""


async def test_an_accessory_whose_network_was_removed_is_made_anew(host: StandingHost) -> None:
    host.has_accessory("postgres", "exited", "f1")
    target = await host.target()
    home = host.base.parent
    (home / "bin/docker").write_text(STRANDED)
    surroundings, site, delivery = around(configured(hosts=[]), target)
    surroundings = replace(surroundings, accessories=replace(DATABASE, images=()))
    assert await surroundings.ensure_accessories(site, [target], delivery) == HERE
    anew, up = (line.partition(" up ")[2] for line in (home / "composed").read_text().splitlines())
    assert anew == "--no-start --no-deps --force-recreate --no-build --pull never postgres"
    assert up == "-d --wait --no-build --pull never --no-recreate"


async def test_what_doesn_t_start_around_a_release_is_no_release_that_was_undone(host: StandingHost) -> None:
    host.starts_nothing()
    target = await host.target()
    surroundings, site, delivery = around(configured(hosts=[]), target)
    with pytest.raises(HostError, match="the accessories did not start") as caught:
        await replace(surroundings, accessories=DATABASE).ensure_accessories(site, [target], delivery)
    assert "no such volume" in caught.value.why
    with pytest.raises(HostError, match="the proxy did not start"):
        await surroundings.ensure(site, [target], R1, delivery)


async def test_a_release_leaves_an_accessory_that_is_down_alone(host: StandingHost) -> None:
    config = configured(hosts=[])
    host.runs_proxy(routed(config))
    host.has_accessory("postgres", "exited", "f0")
    target = await host.target()
    surroundings, site, delivery = around(config, target)
    await replace(surroundings, accessories=DATABASE).ensure(site, [target], R2, delivery)
    assert host.started == []


async def test_a_rollback_starts_the_proxy_where_none_runs(host: StandingHost) -> None:
    config = configured(domain=OLD)
    target = await host.target()
    surroundings, site, delivery = around(config, target)
    plan = rollback_plan(site, R2, [target.host.name])
    assert "proxy" in [change.what for change in plan.hosts[target.host.name]]
    await _surrounded(site, surroundings, [target], R0, delivery)
    assert domains(host.kept) == [OLD]


async def test_a_rollback_is_asked_of_a_proxy_that_runs_for_another_site_alone(host: StandingHost) -> None:
    host.runs_proxy(routed(configured(domain=NEW)).replace("links-prod", "api-prod"))
    target = await host.target()
    surroundings, site, delivery = around(configured(domain=OLD), target)
    plan = rollback_plan(site, R0, [target.host.name])
    assert "proxy route" in [change.what for change in plan.hosts[target.host.name]]
    await _surrounded(site, surroundings, [target], R0, delivery)
    assert domains(host.kept) == [NEW, OLD]
    assert host.loaded == [host.kept]


@pytest.mark.parametrize("present", ["links-prod", "api-prod"], ids=["undone there", "new there"])
async def test_a_rollback_to_a_host_where_nothing_serves_is_asked_as_the_other_hosts_are(
    host: StandingHost, present: str
) -> None:
    serving, undeployed = configured(http="0.0.0.0:80", domain=OLD), configured(**HTTPS | {"domain": NEW})
    # Its proxy publishes no more than the address of before needs, and had the site at the new one.
    host.runs_proxy(
        routed(configured(http="0.0.0.0:80", domain=NEW)).replace("links-prod", present),
        read_proxy(serving, serving.environment("prod")).compose,
    )
    target = await host.target()
    _, site, delivery = around(undeployed, target)
    site.states["web-1"] = builders.state(
        current=builders.current("r1"),
        releases={"r1": R1},
        proxy=Proxy(True, "p1", "caddy:2"),
        proxy_config=routed(serving).rstrip("\n"),
        proxy_compose=target.state.proxy_compose,
    )
    surroundings = Surroundings(site.config, _served(site), None)
    surroundings.check_ports({target.host.name: target.state})
    await _surrounded(site, surroundings, [target], R0, delivery)
    assert domains(host.kept) == ([OLD] if present == "links-prod" else [NEW, OLD])


@pytest.mark.parametrize(
    ("undeployed", "there", "remedy"),
    [
        (HTTPS | {"https": "0.0.0.0:8443"}, HTTPS | {"https": "0.0.0.0:8443"}, 'put back https = "0.0.0.0:443", and'),
        (HTTPS, {"http": "0.0.0.0:80", "domain": OLD}, "Type first: invoke host-bootstrap --env prod"),
    ],
    ids=["another port that isn't deployed", "a proxy of others"],
)
async def test_a_rollback_to_a_host_that_lacks_the_others_port_says_what_publishes_it(
    host: StandingHost, undeployed: dict[str, Any], there: dict[str, Any], remedy: str
) -> None:
    serving, bootstrapped = configured(**HTTPS), configured(**there)
    host.runs_proxy(routed(bootstrapped), read_proxy(bootstrapped, bootstrapped.environment("prod")).compose)
    target = await host.target()
    _, site, _ = around(configured(**undeployed), target)
    site.states["web-1"] = builders.state(
        current=builders.current("r1"),
        proxy=Proxy(True, "p1", "caddy:2"),
        proxy_config=routed(serving),
        proxy_compose=read_proxy(serving, serving.environment("prod")).compose,
        told=site_targets(R1, serving, serving.environment("prod"), "web-1"),
    )
    surroundings = Surroundings(site.config, _served(site), None)
    with pytest.raises(PreflightError) as caught:
        surroundings.check_ports({target.host.name: target.state})
    assert "0.0.0.0:443:443 isn't published" in caught.value.why
    assert remedy in caught.value.remedy
    assert ("with --host" in caught.value.remedy) == remedy.startswith("put back")


@pytest.mark.parametrize(("warm", "asked"), [(False, ["redis:7"]), (True, [])], ids=["cold", "warm"])
async def test_a_rollback_brings_the_images_that_its_compose_file_names(
    host: StandingHost, warm: bool, asked: list[str]
) -> None:
    host.runs_proxy(routed(configured(domain=OLD)))
    host.lacks("redis:7")
    target = await host.target()
    target = replace(target, operation=target.operation.model_copy(update={"warm": warm}))
    surroundings, site, delivery = around(configured(domain=OLD, registry="registry.example.com/links"), target)
    await _surrounded(site, surroundings, [target], R0, delivery)
    assert host.pulled == asked


async def test_a_rollback_says_nothing_of_a_proxy_that_runs_and_asks_where_the_release_listens(
    host: StandingHost,
) -> None:
    host.runs_proxy(routed(configured(domain=OLD)))
    host.serves(R1)
    target = await host.target()
    _, site, _ = around(configured(domain=NEW), target)
    plan = rollback_plan(site, R2, [target.host.name])
    assert not {"proxy", "proxy route"} & {change.what for change in plan.hosts[target.host.name]}
    plan = rollback_plan(site, builders.release("r2", port=9000), [target.host.name])
    assert "proxy route" in [change.what for change in plan.hosts[target.host.name]]


async def test_a_domain_that_can_t_be_loaded_is_said_of_a_release_that_serves(host: StandingHost) -> None:
    before = routed(configured(domain=OLD))
    host.runs_proxy(before)
    host.serves(R1)
    target = await host.target()
    surroundings, site, _ = around(configured(domain=NEW), target)
    host.refuses = True
    with pytest.raises(UnfinishedError, match="r2 serves, but on localhost not yet by its new domain"):
        await surroundings.move(site, [target], R2)
    assert host.kept == before


async def test_a_release_whose_domain_can_t_be_loaded_is_announced_all_the_same(host: StandingHost) -> None:
    host.runs_proxy(routed(configured(domain=OLD)))
    host.serves(R1)
    host.refuses = True
    target = await host.target()
    surroundings, site, delivery = around(configured(domain=NEW), target)
    nowhere = site.config.model_copy(update={"observe": Observe(alertmanager="127.0.0.1:1")})
    silence = Silence(nowhere, site.environment, [target.host])
    silence.begin("r2", "me")
    move = partial(surroundings.move, site, [target], R2)
    rollout = Rollout(
        site.config, site.environment, R2, [target], Said(), files=None, delivery=delivery, silence=silence, move=move
    )
    await rollout._move()
    with pytest.raises(UnfinishedError, match="not yet by its new domain"):
        await _announced(Watch(site, [target], silence), rollout.outcome)
    (note,) = rollout.outcome.notes
    assert note.startswith("Alertmanager could not be told of the switch")
