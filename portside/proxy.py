"""Caddy on a host: its configuration as a value.

A release never changes this configuration. Each site has two slots of upstreams, blue and green, and every request
reads from a file which of them serves and which stands behind it, so that a switch is one file replaced. Reloading
Caddy instead closes idle keep-alive connections, which loses requests (docs/decisions/0001-slots.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from portside.config import Config, Environment
from portside.errors import ConfigError, PreflightError
from portside.release import Release, Slot, other

# Where the routes folder is inside the container (compose/proxy.yaml).
ROUTES = "/routes"
# Listened at inside the container and never published: only what is on the network `portside` gets there.
METRICS_PORT = 2020
# The route as a request found it. Read for each slot anew, a request would find no slot when a switch fell between
# two looks: one in 17 switches from green to blue lost a request that way, at 2,400 a second.
ROUTE_VARIABLE = "portside_route"
HEALTH_INTERVAL = "200ms"
# The route of what is no site's. Without one Caddy would answer with an empty 200. Over HTTPS nobody has a certificate
# for that; and a name that only a Host header has would become a label of its own there, for everyone who makes one up.
NOBODY = "portside-nobody"
# What the id of a site's second route ends with, where it has one.
REDIRECT = "-redirect"
# Half a second of failed checks at least: a busy host's readiness may flap for less, on all replicas at once.
# Caddy counts them for a container, whichever of a slot's two handlers asked.
# A container that is gone needs no check: the first refused connection tells.
HEALTH_FAILS = 5
# Of requests that were not answered: what may be sent again, because it changes nothing, or because nobody has seen it.
FAILED = "{http.error.status_code} in [502, 503, 504]"
REPEATABLE = "{http.request.method} in ['GET', 'HEAD', 'OPTIONS']"
UNSEEN = '({http.error.status_code} == 503 || {http.error.message}.contains("dial tcp"))'
MAINTENANCE_PAGE = """<!doctype html><meta charset=utf-8><title>Back soon</title>
<p style="font:1.2rem system-ui;margin:20vh auto;max-width:30rem">We are working on it and will be back shortly.</p>
"""


def upstreams(site: str, slot: Slot, web: str, replicas: int, port: int) -> list[str]:
    """The addresses of a slot's web containers: Compose names them <project>-<service>-<number>."""
    return [f"{site}-{slot}-{web}-{number}:{port}" for number in range(1, replicas + 1)]


def canary_route(serving: Slot, trial: Slot, share: float) -> str:
    """The route that sends `share` per cent of the requests to the slot on trial, and the others where they went."""
    return f"{serving}+{trial}:{share:g}"


@dataclass(frozen=True)
class Door:
    """Where a release's web containers take requests, and say that they are ready."""

    web: str
    port: int
    readiness: str

    @classmethod
    def of(cls, release: Release) -> Door:
        return cls(release.web, release.port, release.readiness)


@dataclass(frozen=True)
class Address:
    """What a site is asked by: its domain, None for every host name; `tls` says whose certificate it has, "" none."""

    domain: str | None
    tls: str = ""

    @classmethod
    def of(cls, environment: Environment) -> Address:
        return cls(environment.domain, environment.tls if environment.domain and environment.https else "")


def site_route(
    config: Config, environment: Environment, replicas: int, doors: Mapping[Slot, Door], domain: str | None
) -> dict[str, Any]:
    """The Caddy route of one environment of the service at `domain`, with `replicas` upstreams in each slot."""
    site = config.site(environment)
    service = config.service
    route_file = f"{{file.{ROUTES}/{site}/route}}"
    routes: list[dict[str, Any]] = []
    if service.private_paths:
        routes.append(
            {
                "match": [{"path": list(service.private_paths)}],
                "handle": [{"handler": "static_response", "status_code": 404}],
                "terminal": True,
            }
        )
    routes.append(
        {
            "match": [{"vars": {f"{{file.{ROUTES}/{site}/maintenance}}": ["on"]}}],
            "handle": [_unavailable(MAINTENANCE_PAGE)],
            "terminal": True,
        }
    )
    routes.append({"handle": [{"handler": "vars", ROUTE_VARIABLE: route_file}]})
    slots: tuple[Slot, ...] = ("blue", "green")
    for slot in slots:
        behind = other(slot)
        balanced = partial(_balanced, environment, site, replicas=replicas)
        routes.append(
            {
                "match": [
                    {"vars": {ROUTE_VARIABLE: [slot, f"{slot}>{behind}"]}},
                    *_chosen(slot, behind, environment.canary),
                ],
                "handle": [
                    {
                        "handler": "subroute",
                        "routes": [{"handle": [balanced(slot, doors[slot])]}],
                        "errors": {
                            "routes": [
                                {
                                    "match": _unanswered(route_file, slot, behind, environment),
                                    "handle": [balanced(behind, doors[behind], last=True)],
                                    "terminal": True,
                                },
                                # Nothing stands behind, and no container says that it is ready, or all are being
                                # started again: to ask them all the same is better than to answer for them.
                                {
                                    "match": [{"expression": f"{FAILED} && {may}"} for may in (REPEATABLE, UNSEEN)],
                                    "handle": [balanced(slot, doors[slot], last=True, checked=False)],
                                    "terminal": True,
                                },
                                # Without a route of its own, Caddy would answer an error with an empty 200.
                                {"handle": [{"handler": "static_response", "status_code": "{http.error.status_code}"}]},
                            ]
                        },
                    }
                ],
                "terminal": True,
            }
        )
    routes.append({"handle": [_unavailable("No release is serving here.\n")], "terminal": True})
    route: dict[str, Any] = {
        "@id": site,
        "handle": [{"handler": "subroute", "routes": routes}],
        "terminal": True,
    }
    if domain:
        route["match"] = [{"host": [domain]}]
    return route


def _chosen(slot: Slot, beside: Slot, shares: Sequence[float]) -> list[dict[str, Any]]:
    """When `slot` gets a request of a canary: by the request's random id, so that nothing has to be remembered.

    The first eight digits of a UUID of version 4 are random: below a bound is the share on trial.
    """
    found: list[dict[str, Any]] = []
    for share in shares:
        bound = f'"{int(share / 100 * 16**8):08x}"'
        on_trial, serving = canary_route(beside, slot, share), canary_route(slot, beside, share)
        found.append({"vars": {ROUTE_VARIABLE: [on_trial]}, "expression": f"{{http.request.uuid}} < {bound}"})
        found.append({"vars": {ROUTE_VARIABLE: [serving]}, "expression": f"{{http.request.uuid}} >= {bound}"})
    return found


def _unanswered(route_file: str, slot: Slot, behind: Slot, environment: Environment) -> list[dict[str, Any]]:
    """Which failed requests go on to the slot behind: those that may be repeated, and those that nobody has seen yet.

    A POST whose container died while it was at it may have been carried out; only its sender can know what to do.
    In a Swarm they always go on: a node that was away still has the route of before, until a command finds it.
    """
    # The route may have been put back while this request was tried at `slot`.
    trials = [canary_route(behind, slot, share) for share in environment.canary]
    also = [slot] if environment.swarm else []
    routes = {route_file: [f"{slot}>{behind}", behind, f"{behind}>{slot}", *trials, *also]}
    return [{"vars": routes, "expression": f"{FAILED} && {may}"} for may in (REPEATABLE, UNSEEN)]


def _balanced(
    environment: Environment,
    site: str,
    slot: Slot,
    door: Door,
    *,
    replicas: int,
    last: bool = False,
    checked: bool = True,
) -> dict[str, Any]:
    """The slot's containers; `last`: nobody is asked after them.

    `checked`: only containers that are ready and haven't failed a moment ago are chosen from. Without, one that is gone
    has the fewest requests of all: whichever is chosen, another one has to be soon.
    """
    if environment.swarm:
        return _spread(site, slot, door, "1s" if last else "3s")
    handler: dict[str, Any] = {
        "handler": "reverse_proxy",
        "upstreams": dialled(site, slot, replicas, door),
        "load_balancing": {
            "selection_policy": {"policy": "least_conn" if checked else "random"},
            "try_duration": "3s" if last else "300ms",
            "try_interval": "25ms",
        },
        "transport": {
            "protocol": "http",
            "dial_timeout": "1s" if checked else "250ms",
            "keep_alive": {"idle_timeout": "30s"},
        },
    }
    if checked:
        handler["health_checks"] = {
            "active": {
                "uri": door.readiness,
                "interval": HEALTH_INTERVAL,
                "timeout": "2s",
                "fails": HEALTH_FAILS,
                "headers": {"User-Agent": ["portside-proxy"]},
            },
            "passive": {"fail_duration": "2s"},
        }
    return handler


def tasks_of(site: str, slot: Slot, web: str) -> str:
    """The name in a site's network that stands for all running web containers of a slot, whatever node they are on."""
    return f"tasks.{site}-{slot}_{web}"


def _spread(site: str, slot: Slot, door: Door, patience: str) -> dict[str, Any]:
    """A Swarm's containers of a slot, which come and go: the Engine's DNS says every second which there are.

    No connection is kept: one to a node that has lost power would swallow every request that it is chosen for, while
    a new one is refused or takes too long, and another container is asked. Requests wait for longer than a container
    is passed over, for a busy network may make all of them look gone at once. Caddy checks no health of such upstreams;
    the Swarm does, and takes an unhealthy container out of the DNS.
    """
    return {
        "handler": "reverse_proxy",
        "dynamic_upstreams": {
            "source": "a",
            "name": tasks_of(site, slot, door.web),
            "port": str(door.port),
            "refresh": "1s",
            "dial_timeout": "1s",
        },
        "load_balancing": {
            "selection_policy": {"policy": "least_conn"},
            "try_duration": patience,
            "try_interval": "25ms",
        },
        "health_checks": {"passive": {"fail_duration": "2s"}},
        "transport": {"protocol": "http", "dial_timeout": "500ms", "keep_alive": {"enabled": False}},
    }


def _unavailable(body: str) -> dict[str, Any]:
    kind = "text/html; charset=utf-8" if body.startswith("<") else "text/plain; charset=utf-8"
    return {
        "handler": "static_response",
        "status_code": 503,
        "headers": {"Content-Type": [kind], "Retry-After": ["30"], "Cache-Control": ["no-store"]},
        "body": body,
    }


def dialled(site: str, slot: Slot, replicas: int, door: Door) -> list[dict[str, str]]:
    """A slot's containers as Caddy is told of them."""
    return [{"dial": dial} for dial in upstreams(site, slot, door.web, replicas, door.port)]


def empty_config() -> dict[str, Any]:
    """A proxy without a site: its admin API on a unix socket, two servers waiting for routes."""
    return {
        "admin": {"listen": "unix//run/portside/admin.sock|0600"},
        # The checks of an empty slot fail five times a second, by design; what matters is in the service's log.
        "logging": {
            "logs": {"default": {"level": "WARN", "exclude": ["http.handlers.reverse_proxy.health_checker.active"]}}
        },
        "apps": {
            "http": {
                "servers": {
                    "http": {"listen": [":80"], "automatic_https": {"disable": True}, "routes": []},
                    "https": {
                        "listen": [":443"],
                        "automatic_https": {"disable_redirects": True},
                        "routes": [],
                    },
                }
            }
        },
    }


def _measured(data: dict[str, Any]) -> None:
    """Count requests by site, for monitoring.

    Only domains that a route names become a label, everything else is "_other"; and only a site's own route is
    measured, once for each request, whatever is nested in it: 1 to 2 µs (a static answer through two
    nested routes, wrk, one of two cores: 34,800 a second against 36,700 without).
    """
    http = data["apps"]["http"]
    http["metrics"] = {"per_host": True}
    http["servers"]["metrics"] = {
        "listen": [f":{METRICS_PORT}"],
        "automatic_https": {"disable": True},
        "routes": [
            {
                "@id": "portside-metrics",
                "match": [{"path": ["/metrics"]}],
                "handle": [{"handler": "metrics"}],
                "terminal": True,
            }
        ],
    }


def with_site(
    present: str,
    config: Config,
    environment: Environment,
    replicas: int,
    doors: Mapping[Slot, Door],
    *,
    kept: Address | None = None,
) -> str:
    """The proxy configuration `present` (JSON text, or "") with this site's route in its place.

    `kept`: the address that it has there, where that isn't to become the environment's. Raises PreflightError where
    another site on the host takes the same requests.
    """
    data = parsed(present)
    _measured(data)
    site = config.site(environment)
    address = kept or Address.of(environment)
    servers = data["apps"]["http"]["servers"]
    for server in servers.values():
        mine = (site, f"{site}{REDIRECT}", NOBODY)
        server["routes"] = [route for route in server["routes"] if route.get("@id") not in mine]
    added = {"http": site_route(config, environment, replicas, doors, address.domain)}
    if address.domain and address.tls:
        added = {"https": added["http"], "http": _redirect(site, address.domain)}
        _certify(data, address.domain, address.tls)
    for name, route in added.items():
        if kept is None:
            _refuse_rival(servers[name], route, environment)
        _add(servers[name], route)
    servers["http"]["routes"].append(_misdirected())
    return written(data)


def parsed(present: str) -> dict[str, Any]:
    """The proxy configuration `present`, JSON text; one without a site for "". Raises ConfigError where it is none."""
    if not present.strip():
        return empty_config()
    try:
        data: dict[str, Any] = json.loads(present)
        servers = data["apps"]["http"]["servers"]
        if not all(isinstance(servers[name]["routes"], list) for name in {"http", "https", *servers}):
            raise TypeError("a server's routes are no list")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            "no configuration of a proxy, so nobody knows which sites it has",
            where="~/.portside/proxy/config/caddy.json on a host",
            why=f"{type(error).__name__}: {error}"[:500],
            remedy="Which host it is, and what brings it back, is said by `invoke doctor`, with the same --env.",
        ) from None
    return data


def written(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _certify(data: dict[str, Any], domain: str, tls: str) -> None:
    """Caddy gets certificates by ACME unless told otherwise; "internal" is a CA of the proxy's own."""
    automation = data["apps"].setdefault("tls", {}).setdefault("automation", {})
    policies = [policy for policy in automation.get("policies", []) if policy["subjects"] != [domain]]
    if tls == "internal":
        policies.append({"subjects": [domain], "issuers": [{"module": "internal"}]})
    automation["policies"] = policies


def _add(server: dict[str, Any], route: dict[str, Any]) -> None:
    """Routes with a host come before the one that takes every host."""
    server["routes"] = sorted([*server["routes"], route], key=lambda each: ("match" not in each, each["@id"]))


def _refuse_rival(server: dict[str, Any], route: dict[str, Any], environment: Environment) -> None:
    """Raise PreflightError for a route that takes what another one does: one of the two would never be asked."""
    rival = next((each["@id"] for each in server["routes"] if each.get("match") == route.get("match")), None)
    if rival is None:
        return
    site, other_site = (identity.removesuffix(REDIRECT) for identity in (route["@id"], rival))
    taken = f"the host name {environment.domain}" if environment.domain else "every host name"
    raise PreflightError(
        f"{site} and {other_site} are on one host, and both take the requests for {taken}",
        where=f"portside.toml: env.{environment.name}.domain",
        remedy="Give one of the two a domain of its own, for instance: "
        f'domain = "{site}.example.com" in [env.{environment.name}].{_had_another_name(other_site, environment.name)}',
    )


def _had_another_name(site: str, env: str) -> str:
    """What to type where `site` is this service's environment, from before it was given its name."""
    name, _, its_env = site.rpartition("-")
    typed = f"invoke remove --env {env} --name {name}"
    return f"\nWhere {name} is what this service was called before, take that away: {typed}" if its_env == env else ""


def _misdirected() -> dict[str, Any]:
    return {
        "@id": NOBODY,
        "handle": [
            {
                "handler": "static_response",
                "status_code": 421,
                "headers": {"Content-Type": ["text/plain; charset=utf-8"]},
                "body": "No service on this host has this name.\n",
            }
        ],
        "terminal": True,
    }


def _redirect(site: str, domain: str) -> dict[str, Any]:
    return {
        "@id": f"{site}{REDIRECT}",
        "match": [{"host": [domain]}],
        "handle": [
            {
                "handler": "static_response",
                "status_code": 308,
                "headers": {"Location": [f"https://{domain}{{http.request.uri}}"]},
            }
        ],
        "terminal": True,
    }


def digest(present: str) -> str:
    """sha256 of the configuration file whose text a host's state has, without its last newline; "-" without a file."""
    return hashlib.sha256(f"{present}\n".encode()).hexdigest() if present else "-"
