"""Who is logged in at an environment's registry: each host, which pulls, and this machine, which may push."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from portside.command import tail
from portside.config import Environment
from portside.diagnosis import Finding
from portside.errors import BuildError, PortsideError
from portside.facts import State
from portside.host.base import Host
from portside.image.reference import parse_reference
from portside.image.registry import PASSWORD, QUESTION_SECONDS, USERNAME, refused

HERE_SECONDS = 10.0


async def login_findings(environment: Environment, hosts: Sequence[Host], states: Mapping[str, State]) -> list[Finding]:
    """The hosts whose own login the registry refuses the image that serves: that one is surely there.

    Where no host serves one of that registry, nobody knows what to ask for. What else keeps a host from asking, as a
    proxy that only its Docker knows of, is no finding.
    """
    image = next(filter(None, (_served(state, environment.registry) for state in states.values())), None)
    if image is None:
        return []

    async def one(host: Host) -> Finding | None:
        try:
            asked = await host.run(["docker", "manifest", "inspect", image], timeout=QUESTION_SECONDS)
        except PortsideError:
            return None
        why = tail(asked.stderr, 3)
        if asked.exit_code == 0 or not refused(why):
            return None
        remedy = f"Log in there, as who may read it: docker login {parse_reference(image).registry}"
        return Finding(host.name, "the registry refuses this host the image that serves", remedy, why)

    return [finding for finding in await asyncio.gather(*map(one, hosts)) if finding]


async def nobody_here(registry: str) -> str:
    """What is so where the registry wants a login and this machine has none, else "". Whoever only releases what a
    pipeline has pushed needs none.
    """
    if registry == "none":
        return ""
    from portside.image.registry_client import opened  # noqa: PLC0415 - only where a registry is asked is it loaded

    where = parse_reference(registry)
    try:
        async with asyncio.timeout(HERE_SECONDS), opened(where) as client:
            if client.anonymous:
                await client.tagged(where.tag)
    except TimeoutError:
        return ""
    except BuildError as error:
        if error.what.startswith("the registry refused"):
            return (
                f"{where.registry} wants a login and this machine has none: a deploy from here could not push. "
                f"docker login {where.registry}, or {USERNAME} and {PASSWORD}"
            )
    return ""


def _served(state: State, registry: str) -> str | None:
    """The image of the release that serves, where it is of the environment's registry."""
    release = state.releases.get(state.current.release) if state.current else None
    if release is None or registry == "none" or parse_reference(release.image.reference).name != registry:
        return None
    return release.image.reference
