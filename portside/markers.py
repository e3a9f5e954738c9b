"""What monitoring is told of a release when it is committed, as texts: which containers to scrape, what was released.

Prometheus reads targets/<site>.json and targets/<site>.site.json (file_sd), node exporter metrics/<site>.prom
(textfile collector). The texts are made here; a host adds only its counters (portside/host/scripts/marks.sh).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from urllib.parse import urlsplit

from portside.config import Config, Environment
from portside.doors import address_of
from portside.errors import ConfigError
from portside.facts import NONSENSE, State
from portside.journal import Operation
from portside.proxy import upstreams
from portside.proxy_ports import PROXY_FILE, by_hand, listens
from portside.release import Current, Release

# Where the site is asked from inside the host: when nobody gave it a domain, or its proxy listens on loopback, so that
# something in front of it has the address that people use.
PROXY = "http://portside-proxy-caddy-1"
# Of a scheme, in an address as in the proxy's container.
USUAL_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Marks:
    """`targets` and `site` are files of file_sd, `release` is the part of a textfile that a commit sets."""

    targets: str
    site: str
    release: str


def marks(
    release: Release,
    operation: Operation,
    current: Current,
    host: str,
    *,
    config: Config,
    environment: Environment,
    tasks: Sequence[str] = (),
) -> Marks:
    """What committing `release` on `host` (as its connection is called) says to monitoring.

    `tasks`: where a Swarm runs it, the names of the web containers that it has put on this host.
    """
    return Marks(
        targets=targets(release, operation, config, environment, host, tasks=tasks),
        site=site_targets(release, config, environment, host),
        release=release_metrics(release, operation, current),
    )


def targets(
    release: Release,
    operation: Operation,
    config: Config,
    environment: Environment,
    host: str,
    *,
    tasks: Sequence[str] = (),
) -> str:
    """The committed release's web containers, and no other's: what runs in the other slot is not named here."""
    site = f"{release.service}-{environment.name}"
    addresses = (
        [f"{name}:{release.port}" for name in tasks]
        if operation.swarm
        else upstreams(site, operation.slot, release.web, release.replicas, release.port)
    )
    labels = {**_of(release), "release": release.id, "host": environment.label(host)}
    # Not __metrics_path__ itself: each job that reads this file would ask for it, the probes too.
    paths = {"__readiness_path": release.readiness, "__scrape_path": config.judge.path}
    return _file_sd(addresses, labels | paths)


def site_targets(release: Release, config: Config, environment: Environment, host: str) -> str:
    """Where people reach the site, as `site_url` has it, and what has to be answered there."""
    labels = {**_of(release), "host": environment.label(host)}
    if environment.swarm:
        labels["orchestrator"] = environment.orchestrator
    if site_url(environment) == PROXY and environment.domain:
        labels["__param_hostname"] = environment.domain
    private = any(fnmatch(release.readiness.lower(), pattern.lower()) for pattern in config.service.private_paths)
    # Who has a `url` has something in front of the proxy, with a certificate that people's browsers check.
    internal = environment.https and environment.tls == "internal" and not environment.url
    labels["__param_module"] = f"site{'_private' if private else ''}{'_internal' if internal else ''}"
    # The proxy itself answers for a private path; whoever serves behind it is asked for another one.
    return _file_sd([f"{site_url(environment)}{'/' if private else release.readiness}"], labels)


def site_url(environment: Environment) -> str:
    """The address that people use, as far as it is known; else that of this host's proxy."""
    if environment.url:
        return environment.url
    scheme, listen = ("https", environment.https) if environment.https else ("http", environment.http)
    address, _, port = listen.rpartition(":")
    on_loopback = address.startswith("127.") or address == "[::1]"
    if not environment.domain or (scheme == "http" and on_loopback):
        return PROXY
    return f"{scheme}://{environment.domain}" + ("" if port == USUAL_PORTS[scheme] else f":{port}")


def as_served(config: Config, environment: Environment, state: State) -> Environment:
    """`environment` with the address that a host's proxy has the site at, which a deploy alone moves.

    Where the proxy doesn't know the site, or its files make no sense, as it is: a commit doesn't fail for that.
    """
    try:
        address = address_of(state.proxy_config, config.site(environment))
        if address is None:
            return environment
        behind = by_hand(config.root / PROXY_FILE)
        http = _asked_at(state, "http", environment.http, behind=behind)
        # Which port it is may be unknown; that there is one isn't.
        https = _asked_at(state, "https", environment.https, behind=behind) or "0.0.0.0:443"
    except (*NONSENSE, ConfigError):
        return environment
    tls = {"https": https, "tls": address.tls} if address.tls else {"https": None}
    return environment.model_copy(update={"domain": address.domain, "http": http, **tls})


def _asked_at(state: State, scheme: str, wanted: str | None, *, behind: bool) -> str | None:
    """Where a host takes a site's requests by `scheme`. What its proxy publishes says nothing of that where it is
    `behind` something else; there it is what monitoring was told, or else `wanted`.

    Raises ConfigError when the proxy's Compose file makes no sense.
    """
    usual = USUAL_PORTS[scheme]
    told = _port_told(state.told, scheme, usual)
    if behind:
        return f"0.0.0.0:{told}" if told else wanted
    return listens(state.proxy_compose, usual, wanted, told=told)


def _port_told(told: str, scheme: str, usual: str) -> str:
    """The port of what monitoring asks, which a bootstrap may have published another one beside; "" where it asks the
    proxy itself, by another scheme, or nothing that makes sense.
    """
    try:
        url = urlsplit(str(json.loads(told)[0]["targets"][0]))
        return "" if url.scheme != scheme or url.hostname == urlsplit(PROXY).hostname else str(url.port or usual)
    except NONSENSE:
        return ""


def release_metrics(release: Release, operation: Operation, current: Current) -> str:
    """The part of metrics/<site>.prom that says what serves, and since when."""
    told = {**_of(release), "release": release.id}
    info = {
        **told,
        "previous": current.previous or "",
        "commit": release.commit,
        "by": operation.owner,
        "kind": operation.kind,
    }
    return "\n".join(
        (
            "# HELP portside_release_info The committed release; always 1.",
            "# TYPE portside_release_info gauge",
            f"portside_release_info{{{labels(info)}}} 1",
            "# HELP portside_release_timestamp_seconds When the release was committed.",
            "# TYPE portside_release_timestamp_seconds gauge",
            f"portside_release_timestamp_seconds{{{labels({**told, 'kind': operation.kind})}}} "
            f"{current.committed.timestamp():.3f}",
        )
    )


def labels(values: Mapping[str, str]) -> str:
    """Labels in the text format, without braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def site_labels(operation: Operation) -> str:
    """The labels of the counters; "" for an operation that was begun before there were any."""
    return labels({"service": operation.service, "env": operation.env}) if operation.service else ""


def _of(release: Release) -> dict[str, str]:
    return {"service": release.service, "env": release.env}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _file_sd(addresses: list[str], labels: Mapping[str, str]) -> str:
    return json.dumps([{"targets": addresses, "labels": dict(labels)}])
