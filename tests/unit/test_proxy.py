"""The proxy's configuration as a value."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from portside.doors import address_of, doors_of, upstreams_of, with_doors, without_site
from portside.errors import ConfigError, PreflightError
from portside.host.script import script_text
from portside.proxy import (
    NOBODY,
    Address,
    Door,
    canary_route,
    digest,
    upstreams,
    with_site,
)
from portside.proxy_ports import proxy_compose, published
from portside.release import Slot
from tests.unit import builders
from tests.unit.test_markers import Machine

WEB = Door("web", 8000, "/readiness")
ROOT = Path(__file__).parents[2]


def sites(text: str) -> dict[str, list[str]]:
    servers = json.loads(text)["apps"]["http"]["servers"]
    return {
        name: [route["@id"] for route in server["routes"] if route["@id"] != NOBODY]
        for name, server in servers.items()
        if name != "metrics"
    }


def configuration(present: str = "", service: str = "links", **environment: Any) -> str:
    config = builders.config(**environment)
    config = config.model_copy(update={"service": config.service.model_copy(update={"name": service})})
    return with_site(present, config, config.environment("prod"), 2, {"blue": WEB, "green": WEB})


def test_the_same_site_again_changes_nothing() -> None:
    once = configuration()
    assert configuration(once) == once


def test_sites_stand_side_by_side_and_those_with_a_host_come_first() -> None:
    both = configuration(configuration(), "other", domain="other.example.com")
    assert sites(both)["http"] == ["other-prod", "links-prod"]


def test_a_domain_moves_the_site_to_https_and_leaves_a_redirect() -> None:
    plain = configuration()
    secure = configuration(plain, domain="links.example.com", https="0.0.0.0:443")
    assert sites(secure) == {"http": ["links-prod-redirect"], "https": ["links-prod"]}
    assert sites(configuration(secure)) == {"http": ["links-prod"], "https": []}


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ({}, {}, "every host name"),
        ({"domain": "a.example.com"}, {"domain": "a.example.com"}, "a.example.com"),
        ({"domain": "a.example.com", "https": "0.0.0.0:443"}, {"domain": "a.example.com"}, "a.example.com"),
    ],
)
def test_two_sites_that_would_take_the_same_requests_are_refused(
    first: dict[str, str], second: dict[str, str], taken: str
) -> None:
    with pytest.raises(PreflightError) as caught:
        configuration(configuration(**first), "api", **second)
    assert "api-prod and links-prod are on one host" in caught.value.what
    assert taken in caught.value.what
    assert caught.value.where == "portside.toml: env.prod.domain"
    assert caught.value.remedy.endswith("take that away: invoke remove --env prod --name links")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"domain": "b.example.com"}),
        (
            {"domain": "a.example.com", "https": "0.0.0.0:443", "tls": "internal"},
            {"domain": "b.example.com", "https": "0.0.0.0:443", "tls": "internal"},
        ),
    ],
)
def test_a_site_that_is_taken_away_leaves_the_others_as_they_were(
    first: dict[str, str], second: dict[str, str]
) -> None:
    both = configuration(configuration(service="api", **second), **first)
    alone = json.loads(configuration(service="api", **second))
    assert json.loads(without_site(both, "links-prod")) == alone
    assert without_site(both, "nobody-prod") == both
    assert without_site("", "links-prod") == ""


def test_sites_that_were_on_one_host_before_may_go_on_until_one_is_told_apart() -> None:
    present = json.loads(configuration(domain="a.example.com"))
    present["apps"]["http"]["servers"]["http"]["routes"][0].pop("match")
    config = builders.config(domain="b.example.com")
    environment = config.environment("prod")
    config = config.model_copy(update={"service": config.service.model_copy(update={"name": "api"})})
    doors: dict[Slot, Door] = {"blue": WEB, "green": WEB}
    both = with_site(json.dumps(present), config, environment, 2, doors, kept=Address(None))
    assert sites(both)["http"] == ["api-prod", "links-prod"]
    assert sites(with_site(both, config, environment, 2, doors))["http"] == ["api-prod", "links-prod"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"domain": "a.example.com"},
        {"domain": "a.example.com", "https": "0.0.0.0:443"},
        {"domain": "a.example.com", "https": "0.0.0.0:443", "tls": "internal"},
    ],
)
def test_what_a_site_is_asked_by_is_read_back(environment: dict[str, str]) -> None:
    others = configuration(service="other", domain="b.example.com", https="0.0.0.0:443", tls="internal")
    present = configuration(others, **environment)
    assert address_of(present, "links-prod") == Address.of(builders.environment(**environment))
    assert address_of(present, "links") is address_of("", "links-prod") is None
    config = builders.config(domain="c.example.com")
    kept = address_of(present, "links-prod")
    doors: dict[Slot, Door] = {"blue": WEB, "green": WEB}
    assert with_site(present, config, config.environment("prod"), 2, doors, kept=kept) == present


def test_what_is_no_site_s_is_answered_with_421_after_everything_else() -> None:
    present = configuration(configuration(service="zoo", domain="a.example.com", https="0.0.0.0:443"))
    servers = json.loads(present)["apps"]["http"]["servers"]
    last = servers["http"]["routes"][-1]
    assert (last["@id"], last["handle"][0]["status_code"]) == (NOBODY, 421)
    assert present.count(NOBODY) == 1


def test_upstreams_are_the_names_that_compose_gives() -> None:
    assert upstreams("links-prod", "green", "web", 2, 8000) == [
        "links-prod-green-web-1:8000",
        "links-prod-green-web-2:8000",
    ]


def test_a_proxy_from_before_it_was_measured_is_measured_from_its_next_change_on() -> None:
    before = json.loads(configuration())
    del before["apps"]["http"]["metrics"], before["apps"]["http"]["servers"]["metrics"]
    assert configuration(json.dumps(before)) == configuration()


def test_metrics_have_a_port_of_their_own_that_is_not_published() -> None:
    http = json.loads(configuration())["apps"]["http"]
    assert http["servers"]["metrics"]["listen"] == [":2020"]
    assert http["metrics"] == {"per_host": True}
    compose = proxy_compose(ROOT / "compose/proxy.yaml", "caddy:2.11.7", published(builders.environment(), ""))
    assert "2020" not in compose


def test_the_admin_api_is_a_socket_never_a_port() -> None:
    assert json.loads(configuration())["admin"]["listen"].startswith("unix//")


def test_a_canary_adds_conditions_and_no_upstreams() -> None:
    plain, canary = configuration(), configuration(canary=[5, 25])
    assert configuration(canary=[]) == plain
    assert canary.count('"dial"') == plain.count('"dial"')
    text = json.dumps(json.loads(canary))
    for route in ("blue+green:5", "green+blue:5", "blue+green:25", "green+blue:25"):
        assert route in text
    assert '{http.request.uuid} < \\"0ccccccc\\"' in text and '{http.request.uuid} >= \\"40000000\\"' in text


def test_a_share_is_written_as_people_write_it() -> None:
    assert canary_route("blue", "green", 5.0) == "blue+green:5"
    assert canary_route("green", "blue", 0.5) == "green+blue:0.5"


def test_the_number_of_upstreams_is_read_back_for_a_site_of_its_own() -> None:
    config = builders.config()
    present = with_site("", config, config.environment("prod"), 4, {"blue": WEB, "green": WEB})
    assert upstreams_of(present, "links-prod") == 4
    assert upstreams_of(present, "links-prod2") == upstreams_of(present, "links") == upstreams_of("", "links-prod") == 0


@pytest.mark.parametrize("orchestrator", ["compose", "swarm"])
def test_each_slot_has_a_door_that_is_read_back_and_can_be_another_one(orchestrator: str) -> None:
    config = builders.config(orchestrator=orchestrator)
    ready = "/ready" if orchestrator == "compose" else "/"
    doors: dict[Slot, Door] = {"blue": Door("web", 8000, ready), "green": Door("web-api", 9000, ready)}
    present = with_site("", config, config.environment("prod"), 2, doors)
    assert doors_of(present, "links-prod") == doors
    assert doors_of(present, "links") == doors_of("", "links-prod") == {}
    assert with_doors(present, "links-prod", {}) == present
    assert with_doors(present, "links", {"green": doors["blue"]}) == present
    changed = with_doors(present, "links-prod", {"green": doors["blue"]})
    both: dict[Slot, Door] = {"blue": doors["blue"], "green": doors["blue"]}
    assert changed == with_site("", config, config.environment("prod"), 2, both)


@pytest.mark.parametrize("cut", [0, 5])
def test_a_configuration_that_is_cut_off_on_its_way_is_not_kept(tmp_path: Path, cut: int) -> None:
    machine = Machine(tmp_path)
    file = tmp_path / ".portside/proxy/config/caddy.json"
    file.parent.mkdir(parents=True)
    before, after = configuration(), configuration(service="other")
    file.write_text(before)
    digests = digest(before.rstrip("\n")), digest(after.rstrip("\n"))
    done = subprocess.run(
        ["bash", "-c", script_text("proxy_config"), "test", "links-prod", "1", *digests],
        env={"HOME": str(machine.home), "PATH": "/usr/bin:/bin"},
        input=after[: len(after) - cut],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert file.read_text() == (before if cut else after)
    assert done.returncode == (75 if cut else 0)
    assert "did not arrive as a whole" in done.stderr or not cut


NO_ROUTES = '{"apps": {"http": {"servers": {"http": {"routes": []}, "https": {"routes": null}}}}}'


@pytest.mark.parametrize(
    "damaged",
    [
        '{"apps":',
        "[]",
        "{}",
        "null",
        '{"apps": {"http": {"servers": {}}}}',
        NO_ROUTES,
        '{"apps": {"http": {"servers": []}}}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_configuration_is_named_with_what_says_how_to_mend_it(damaged: str) -> None:
    for read in (lambda: address_of(damaged, "links-prod"), lambda: doors_of(damaged, "links-prod")):
        with pytest.raises(ConfigError) as caught:
            read()
        assert caught.value.where == "~/.portside/proxy/config/caddy.json on a host"
        assert "invoke doctor" in caught.value.remedy
