"""The scripts that run on a host, put together as the host gets them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# What a script needs before it. Everything gets lib.sh, except what runs before there is a site.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "accessories": ("swarm",),
    "address": ("marks",),
    "agent": ("networks",),
    "ask": (),
    "bake": (),
    "bootstrap": ("root",),
    "commit": ("marks",),
    "examine": (),
    "harden": ("root",),
    "hook": (),
    "ingest": (),
    "lease": ("emit",),
    "look": ("gate",),
    "maintenance": (),
    "observe": (),
    "observe_down": (),
    "observe_look": (),
    "posture": (),
    "prepare": (),
    "proxy": ("networks",),
    "proxy_config": (),
    "remove": (),
    "retire": ("gate",),
    "start": ("gate",),
    "state": ("emit",),
    "swarm_bake": ("swarm",),
    "swarm_drain": ("swarm",),
    "swarm_follow": (),
    "swarm_gate": ("gate", "swarm"),
    "swarm_hook": ("swarm",),
    "swarm_network": ("swarm",),
    "swarm_nodes": (),
    "swarm_objects": ("swarm",),
    "swarm_prepare": (),
    "swarm_retire": ("swarm",),
    "swarm_start": ("swarm",),
    "swarm_switch": ("swarm",),
    "swarm_undo": ("marks", "swarm"),
    "swarm_withdraw": ("swarm",),
    "switch": ("gate",),
    "undo": ("marks",),
    "unlock": (),
}
WITHOUT_LIBRARY = frozenset({"bootstrap", "harden", "posture"})


@cache
def script_text(name: str) -> str:
    """The whole text of script `name`: the library, what it needs, itself."""
    folder = files("portside.host") / "scripts"
    parts = (*(() if name in WITHOUT_LIBRARY else ("lib",)), *SCRIPTS[name], name)
    return "\n".join((folder / f"{part}.sh").read_text() for part in parts)


def script_argv(name: str, site: str, *arguments: str) -> list[str]:
    """The argument list that runs script `name` for `site` on a host. No argument may be a secret."""
    return ["bash", "-c", script_text(name), f"portside-{name}", site, *arguments]


def root_argv(name: str, *arguments: str, sudo: bool) -> list[str]:
    """The argument list that runs script `name`, which needs no site, as whoever is logged in or as root."""
    return [*(("sudo", "-n") if sudo else ()), "bash", "-c", script_text(name), f"portside-{name}", *arguments]
