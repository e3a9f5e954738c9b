"""The proxy's configuration as a value."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portside.host.script import script_text
from portside.proxy import Doors, canary_route, digest, doors_of, proxy_compose, upstreams, with_site
from portside.release import Role
from tests.unit import builders
from tests.unit.test_markers import Machine

DOORS = Doors(2, frozenset({("web", 8000)}))
ROOT = Path(__file__).parents[2]


def sites(text: str) -> dict[str, list[str]]:
    servers = json.loads(text)["apps"]["http"]["servers"]
    return {name: [route["@id"] for route in server["routes"]] for name, server in servers.items() if name != "metrics"}


def configuration(present: str = "", service: str = "links", **environment: Any) -> str:
    config = builders.config(**environment)
    config = config.model_copy(update={"service": config.service.model_copy(update={"name": service})})
    return with_site(present, config, config.environment("prod"), DOORS)


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
    compose = proxy_compose(ROOT / "compose/proxy.yaml", builders.environment(), "caddy:2.11.7")
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


def test_what_the_proxy_knows_of_a_site_is_read_back() -> None:
    config = builders.config()
    doors = Doors(4, frozenset({("web", 8000), ("web-api", 9000)}))
    present = with_site("", config, config.environment("prod"), doors)
    assert doors_of(present, "links-prod") == doors
    assert doors_of(present, "links-prod2") == doors_of(present, "links") == doors_of("", "links-prod")
    assert doors_of("", "links-prod") == Doors(0, frozenset())


def test_a_release_is_asked_where_it_listens_whatever_the_next_one_says() -> None:
    """Its port, its service and its readiness were its own; it answers until the switch, and after an undo."""
    old, new = builders.release("r1"), builders.release("r2", port=9000, web="api", roles=[role("api")])
    config = builders.config()
    config = config.model_copy(update={"service": config.service.model_copy(update={"readiness": "/ready"})})
    doors = replace(Doors.of((old, new)), unlike=("blue", "/old"))
    text = with_site("", config, config.environment("prod"), doors)
    for slot in ("blue", "green"):
        assert f'"links-prod-{slot}-web-1:8000"' in text
        assert f'"links-prod-{slot}-api-1:9000"' in text
    checks = {
        (upstream["dial"].split("-")[2], handler["health_checks"]["active"]["uri"])
        for handler in balancers(json.loads(text))
        if "health_checks" in handler
        for upstream in handler["upstreams"]
    }
    assert checks == {("blue", "/old"), ("green", "/ready")}


def balancers(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if data.get("handler") == "reverse_proxy":
            yield data
        data = list(data.values())
    if isinstance(data, list):
        for each in data:
            yield from balancers(each)


def role(name: str) -> Role:
    return Role(name=name, replicas=1, stop_first=False)


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
