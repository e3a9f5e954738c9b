"""Which ports a host's proxy publishes, for all sites there, and the Compose file that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from portside.config import Environment
from portside.errors import ConfigError, PreflightError

# The addresses that take in every other one. They are published side by side: one is IPv4's, the other IPv6's.
EVERYWHERE = ("0.0.0.0:", "[::]:")
PROXY_FILE = "compose/proxy.yaml"
# Where that file has the ports of an environment's http and https.
PORTS = "${PORTSIDE_PROXY_PORTS}"


def published(environment: Environment, compose: str) -> list[str]:
    """The ports that a proxy publishes, as Docker is told of them: for this environment, and by `compose`, the text of
    the host's Compose file, for others ("": there are none).

    Raises PreflightError where one port would have to be two, ConfigError when `compose` makes no sense.
    """
    ports = list(_ports_of(compose))
    for port in _wanted(environment):
        rivals = [each for each in ports if _meet(each, port)]
        other_inside = next((each for each in rivals if _inside(each) != _inside(port)), None)
        if other_inside:
            raise PreflightError(
                f"{port} can't be published: the host's proxy publishes {other_inside}, for another site or "
                "for this one as it is asked until it has moved",
                where=f"portside.toml: env.{environment.name}",
                remedy="Choose another port for http or https.",
            )
        if any(_takes_in(each, port) for each in rivals):
            continue
        if port.startswith(EVERYWHERE):
            ports = [each for each in ports if each not in rivals]
        ports.append(port)
    return ports


def listens(compose: str, server: str, wanted: str | None, *, told: str = "") -> str | None:
    """Where a proxy with this Compose file takes requests for one of Caddy's servers, by its port: at the port `told`,
    if it does so there; where that is `wanted` to be, if there; else the first place. `wanted` when it publishes none.

    Raises ConfigError when `compose` makes no sense.
    """
    found = [port for port in _ports_of(compose) if port.endswith(f":{server}")]
    found = [port for port in found if _number(port)[1] == told] or found
    if not found or (wanted and any(_takes_in(port, f"{wanted}:{server}") for port in found)):
        return wanted
    return found[0].rpartition(":")[0]


def unpublished(environment: Environment, compose: str) -> list[str]:
    """What an environment needs published, and the proxy with the Compose file `compose` doesn't publish.

    Raises ConfigError when that makes no sense.
    """
    ports = _ports_of(compose)
    return [port for port in _wanted(environment) if not any(_takes_in(each, port) for each in ports)]


def setting(port: str) -> str:
    """The line of portside.toml that has a port published."""
    listen, _, server = port.rpartition(":")
    return f'{"https" if server == "443" else "http"} = "{listen}"'


def _wanted(environment: Environment) -> list[str]:
    return [f"{environment.http}:80"] + ([f"{environment.https}:443"] if environment.https else [])


def _takes_in(published: str, port: str) -> bool:
    everywhere = published.startswith(EVERYWHERE) and _number(published) == _number(port)
    return published == port or (everywhere and _inside(published) == _inside(port))


def _inside(port: str) -> str:
    """Which of Caddy's servers is meant."""
    return port.rpartition(":")[2]


def _meet(one: str, other: str) -> bool:
    """Whether two published ports are one of the host's, at an address that both are published at."""
    if one.startswith(EVERYWHERE) or other.startswith(EVERYWHERE):
        return _number(one) == _number(other)
    return one.rpartition(":")[0] == other.rpartition(":")[0]


def _number(port: str) -> tuple[bool, str]:
    """IPv6 or not, and the host's port."""
    return port.startswith("["), port.split(":")[-2]


# Asked many times for each host, and hosts are alike: reading YAML takes 4 ms.
@lru_cache(maxsize=256)
def _ports_of(compose: str) -> tuple[str, ...]:
    """What a Compose file publishes of Caddy's two servers. The rest is the project's own, and in its file again."""
    try:
        services = (yaml.safe_load(compose) or {"services": {}})["services"].values()
        ports = [str(port) for service in services for port in service.get("ports", [])]
        return tuple(port for port in ports if re.fullmatch(r".+:\d+:(80|443)", port))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            "not readable, so nobody knows what it publishes for other sites",
            where="~/.portside/proxy/compose.yaml on a host",
            why=str(error)[:500],
        ) from None


def by_hand(path: Path) -> bool:
    """Whether a project's PROXY_FILE says itself what the proxy publishes: whoever wrote that answers for it, and may
    have something in front of the proxy. Raises ConfigError when the file can't be read.
    """
    return PORTS not in _read(path)


def proxy_compose(path: Path, image: str, ports: Sequence[str]) -> str:
    """The proxy's Compose file for a host: compose/proxy.yaml with image and published ports put in.

    Raises ConfigError when the file can't be read.
    """
    text = _read(path).replace("${PORTSIDE_PROXY_IMAGE}", image).replace(PORTS, json.dumps(list(ports)))
    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("not readable as YAML", where=str(path), why=str(error)) from None
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        raise ConfigError("not readable", where=str(path), why=str(error)) from None
