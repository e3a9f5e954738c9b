"""Who reaches an accessory by its name: without a Swarm, the containers of its own host alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from portside.config import FILE, Environment
from portside.diagnosis import Finding
from portside.surroundings import accessory_hosts

# The hosts of a URL, several with commas between them, behind its user and password.
_HOSTS = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?([^/?#@]+)", re.IGNORECASE)


def reach_findings(environment: Environment, accessories: Collection[str]) -> list[Finding]:
    """Values of `env` that lead to one of `accessories` by its name, from hosts that don't have it.

    Read as they are written: what stands for a secret in them stays unknown.
    """
    if environment.swarm or environment.local:
        return []
    there = accessory_hosts(environment, [])
    without = [host for host in environment.hosts if host not in there]
    return [
        Finding(
            f"{FILE}: env.{environment.name}.env.{name}",
            f"{host} isn't found by name on {', '.join(without)}",
            f"Publish its port on {there[0]} and write that host's private address: "
            "docs/your-service.md#an-accessory-for-several-hosts",
            f"It is an accessory on {', '.join(there)}; only containers of the same host know its name.",
        )
        for name, text in sorted(environment.env.items())
        for host in _hosts(text)
        if without and there and host in accessories
    ]


def _hosts(text: str) -> list[str]:
    found = _HOSTS.match(text)
    return [each.partition(":")[0] for each in found[1].split(",")] if found else []
