"""The proxy's configuration as a value."""

from __future__ import annotations

import json
from typing import Any

from portside.proxy import upstreams, with_site
from tests.unit import builders


def sites(text: str) -> dict[str, list[str]]:
    servers = json.loads(text)["apps"]["http"]["servers"]
    return {name: [route["@id"] for route in server["routes"]] for name, server in servers.items()}


def configuration(present: str = "", service: str = "links", **environment: Any) -> str:
    config = builders.config(**environment)
    config = config.model_copy(update={"service": config.service.model_copy(update={"name": service})})
    return with_site(present, config, config.environment("prod"), 2)


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


def test_the_admin_api_is_a_socket_never_a_port() -> None:
    assert json.loads(configuration())["admin"]["listen"].startswith("unix//")
