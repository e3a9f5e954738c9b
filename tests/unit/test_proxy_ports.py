"""What a proxy publishes on a host that sites share: what one needs, no other takes away."""

from __future__ import annotations

import json

import pytest

from portside.errors import ConfigError, PreflightError
from portside.proxy_ports import listens, published, unpublished
from tests.unit import builders


def ports(present: list[str], **own: str) -> list[str]:
    return published(builders.environment(**own), published_by(present))


def published_by(proxy: list[str]) -> str:
    return f"services:\n  caddy:\n    ports: {json.dumps(proxy)}\n" if proxy else ""


@pytest.mark.parametrize(
    ("present", "own", "together"),
    [
        ([], {"http": "0.0.0.0:80"}, ["0.0.0.0:80:80"]),
        (["0.0.0.0:80:80", "0.0.0.0:443:443"], {"http": "0.0.0.0:80"}, ["0.0.0.0:80:80", "0.0.0.0:443:443"]),
        (
            ["0.0.0.0:80:80"],
            {"http": "0.0.0.0:80", "https": "0.0.0.0:443", "domain": "links.example.com"},
            ["0.0.0.0:80:80", "0.0.0.0:443:443"],
        ),
        (["127.0.0.1:8080:80"], {"http": "0.0.0.0:8080"}, ["0.0.0.0:8080:80"]),
        (["0.0.0.0:8080:80"], {"http": "127.0.0.1:8080"}, ["0.0.0.0:8080:80"]),
        (["10.0.0.1:80:80"], {"http": "127.0.0.1:80"}, ["10.0.0.1:80:80", "127.0.0.1:80:80"]),
        (["0.0.0.0:80:80"], {"http": "[::]:80"}, ["0.0.0.0:80:80", "[::]:80:80"]),
        (["[::]:80:80", "9000:9000"], {"http": "[::1]:80"}, ["[::]:80:80"]),
        (["10.0.0.1:8443:443"], {"http": "10.0.0.2:8443"}, ["10.0.0.1:8443:443", "10.0.0.2:8443:80"]),
    ],
)
def test_what_is_published_for_others_stays_beside_what_is_wanted(
    present: list[str], own: dict[str, str], together: list[str]
) -> None:
    assert ports(present, **own) == together
    assert ports(together, **own) == together, "and it is settled then"
    assert not unpublished(builders.environment(**own), published_by(together))


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("0.0.0.0:443", "0.0.0.0:443"),
        ("127.0.0.1:443", "127.0.0.1:443"),
        ("0.0.0.0:9443", "0.0.0.0:443"),
        (None, "0.0.0.0:443"),
    ],
)
def test_a_proxy_listens_where_it_should_or_else_where_it_does(wanted: str | None, place: str) -> None:
    compose = 'services: {caddy: {ports: ["0.0.0.0:80:80", "0.0.0.0:443:443", "0.0.0.0:8443:443"]}}'
    assert listens(compose, "443", wanted) == place
    assert listens("", "443", wanted) == wanted


@pytest.mark.parametrize("present", ["127.0.0.1:8080", "10.0.0.1:8080", "[::]:8080"])
def test_one_address_s_port_isn_t_everybody_s(present: str) -> None:
    assert listens(published_by([f"{present}:80"]), "80", "0.0.0.0:8080") == present


@pytest.mark.parametrize("present", ["0.0.0.0:80:80", "10.0.0.1:80:80"])
@pytest.mark.parametrize("https", ["0.0.0.0:80", "10.0.0.1:80"])
def test_one_port_can_t_be_two(present: str, https: str) -> None:
    with pytest.raises(PreflightError, match=f"{https}:443 can't be published: .* {present}"):
        ports([present], http="0.0.0.0:8080", https=https, domain="links.example.com")


@pytest.mark.parametrize(
    ("present", "lacking"),
    [
        ([], ["10.0.0.1:80:80", "10.0.0.1:443:443"]),
        (["0.0.0.0:80:80"], ["10.0.0.1:443:443"]),
        (["10.0.0.2:80:80", "10.0.0.2:443:443", "[::]:443:443"], ["10.0.0.1:80:80", "10.0.0.1:443:443"]),
        (["0.0.0.0:443:80"], ["10.0.0.1:80:80", "10.0.0.1:443:443"]),
    ],
)
def test_what_a_proxy_doesn_t_publish_yet_is_known(present: list[str], lacking: list[str]) -> None:
    wanted = builders.environment(http="10.0.0.1:80", https="10.0.0.1:443", domain="links.example.com")
    assert unpublished(wanted, published_by(present)) == lacking


@pytest.mark.parametrize("text", ["services: [", "services: 1", "- x"])
def test_a_file_that_says_nothing_is_no_file_that_publishes_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="nobody knows what it publishes"):
        published(builders.environment(), text)
