"""What a proxy's configuration says of a site, its slots above all: read from it, and written into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from portside.proxy import NOBODY, REDIRECT, Address, Door, dialled, parsed, tasks_of, written
from portside.release import Slot


def upstreams_of(present: str, site: str) -> int:
    """How many containers of a slot the proxy configuration `present` (JSON text, or "") knows for `site`."""
    found = re.findall(rf'"{re.escape(site)}-(?:blue|green)-[^":]+-(\d+):\d+"', present)
    return max(map(int, found), default=0)


@lru_cache(maxsize=16)
def address_of(present: str, site: str) -> Address | None:
    """What the proxy configuration `present` (JSON text, or "") has `site` asked by; None where it doesn't know it."""
    apps = parsed(present)["apps"]
    for name, server in apps["http"]["servers"].items():
        for route in server["routes"]:
            if route.get("@id") != site:
                continue
            domain = route["match"][0]["host"][0] if "match" in route else None
            own = any(policy["subjects"] == [domain] for policy in _policies(apps))
            return Address(domain, "" if name == "http" else "internal" if own else "acme")
    return None


def _policies(apps: dict[str, Any]) -> list[dict[str, Any]]:
    """Those for certificates of the proxy's own."""
    policies: list[dict[str, Any]] = apps.get("tls", {}).get("automation", {}).get("policies", [])
    return policies


@lru_cache(maxsize=16)
def alone(present: str, site: str) -> bool:
    """Whether the proxy configuration `present` (JSON text, or "") is of no site but `site`."""
    servers = parsed(present)["apps"]["http"]["servers"]
    routes = [route.get("@id") for name in ("http", "https") if name in servers for route in servers[name]["routes"]]
    return set(routes) <= {site, f"{site}{REDIRECT}", NOBODY}


@lru_cache(maxsize=16)
def doors_of(present: str, site: str) -> Mapping[Slot, Door]:
    """What the proxy configuration `present` (JSON text, or "") knows of a site's slots."""
    found: dict[Slot, Door] = {}
    # What stands first is what is asked first, and says where it asks for readiness.
    for slot, handler in _slots(parsed(present), site):
        if "upstreams" in handler:
            name, _, port = handler["upstreams"][0]["dial"].rpartition(":")
            web = name.removeprefix(f"{site}-{slot}-").rpartition("-")[0]
        else:
            web = handler["dynamic_upstreams"]["name"].removeprefix(tasks_of(site, slot, ""))
            port = handler["dynamic_upstreams"]["port"]
        active = handler.get("health_checks", {}).get("active", {})
        found.setdefault(slot, Door(web, int(port), active.get("uri", "/")))
    return found


def with_doors(present: str, site: str, doors: Mapping[Slot, Door]) -> str:
    """The proxy configuration `present` (JSON text) with these slots of a site at these doors, and as it is else."""
    data = parsed(present)
    for slot, handler in _slots(data, site):
        if (door := doors.get(slot)) is None:
            continue
        if "upstreams" in handler:
            handler["upstreams"] = dialled(site, slot, len(handler["upstreams"]), door)
        else:
            handler["dynamic_upstreams"] |= {"name": tasks_of(site, slot, door.web), "port": str(door.port)}
        if "active" in handler.get("health_checks", {}):
            handler["health_checks"]["active"]["uri"] = door.readiness
    return written(data)


def without_site(present: str, site: str) -> str:
    """The proxy configuration `present` (JSON text, or "") with nothing of `site`, and as it is else."""
    address = address_of(present, site)
    if address is None:
        return present
    data = parsed(present)
    for server in data["apps"]["http"]["servers"].values():
        server["routes"] = [each for each in server["routes"] if each.get("@id") not in (site, f"{site}{REDIRECT}")]
    policies = _policies(data["apps"])
    policies[:] = [policy for policy in policies if policy["subjects"] != [address.domain]]
    return written(data)


def _slots(data: dict[str, Any], site: str) -> Iterator[tuple[Slot, dict[str, Any]]]:
    """The handlers of a site's slots, in their order."""
    routes = (route for server in data["apps"]["http"]["servers"].values() for route in server["routes"])
    slots: tuple[Slot, ...] = ("blue", "green")
    for handler in _balancers([route for route in routes if route.get("@id") == site]):
        first: list[dict[str, str]] = handler.get("upstreams") or [{"dial": handler["dynamic_upstreams"]["name"]}]
        named = first[0]["dial"]
        for slot in slots:
            if named.startswith((f"{site}-{slot}-", tasks_of(site, slot, ""))):
                yield slot, handler


def _balancers(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if data.get("handler") == "reverse_proxy":
            yield data
        # What fails comes after what is tried, whatever the file's order.
        data = [value for name, value in sorted(data.items(), key=lambda item: item[0] == "errors")]
    for each in data if isinstance(data, list) else ():
        yield from _balancers(each)
