"""`invoke remove`: a site is taken off its hosts, all of them or one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from portside import steps
from portside.cli import Terminal, project, run
from portside.config import Config
from portside.config.base import Name
from portside.doors import address_of
from portside.errors import ConfigError, InterruptionError, PortsideError
from portside.facts import State
from portside.fleet import connected, everywhere, read_states
from portside.journal import Operation
from portside.operators import operator
from portside.orders import run_step
from portside.report import timed
from portside.site import Site, opened, operation_id
from portside.steps import Target
from portside.surroundings import leave

AGAIN = "Type the same again for what is left: what is gone already is no mistake."
STAYS = "The proxy and what watches the host stay, for other sites (docs/deploying.md#take-a-site-away)."


def remove_command(
    env: str, *, host: str | None, name: str | None, volumes: bool, dry_run: bool, yes: bool, machine: bool
) -> None:
    async def act(terminal: Terminal) -> None:
        config = _named(project(env), name)
        environment = config.environment(env)
        if environment.swarm:
            raise _in_a_swarm(config.site(environment), env)
        async with connected(environment) as hosts:
            states = await read_states(hosts, config.site(environment), full=False)
        site = Site(config, environment, hosts, {}, states, terminal.reporter)
        if not any(_is_there(site.states[name], site.name, volumes=volumes) for name in _chosen(site, host)):
            # A lock would leave the name there.
            terminal.result(_data(site, host, "unchanged"), f"Nothing to do: {site.name} isn't there.")
            return
        if dry_run:
            terminal.result(_data(site, host, "planned"), _plan(site, host, volumes=volumes))
            return
        async with opened(config, environment, terminal.reporter, operation="remove", full=False) as site:
            terminal.reporter.say(_plan(site, host, volumes=volumes))
            question = f"Remove {site.name}?"
            if not await terminal.agreed(question, environment, yes=yes, always=True):
                terminal.result(_data(site, host, "declined"), "Nothing was changed.")
                return
            await remove(site, host, volumes=volumes)
        terminal.result(_data(site, host, "removed"), _removed(site, host, renamed=name is not None))

    run(act, machine=machine)


async def remove(site: Site, only: str | None, *, volumes: bool) -> None:
    """Take a site off its hosts; what an earlier try has taken away is no mistake. Its lock and its journal stay.

    Raises PortsideErrors, InterruptionError among them, which say that the same may be typed again.
    """
    operation = Operation(id=operation_id(), kind="remove", owner=operator())
    targets = [site.target(name, operation) for name in site.chosen(only)]

    async def one(target: Target) -> None:
        with timed(site.reporter, target.host.name, "remove"):
            images = not site.environment.local  # there they were built, and may be wanted again
            await run_step(target, steps.remove(target.state.releases, images=images, volumes=volumes))

    try:
        # Traffic first: from there on nobody is sent to containers that are being stopped.
        await leave(targets)
        await everywhere(targets, one)
    except PortsideError as error:
        error.remedy = error.remedy or AGAIN
        raise
    except asyncio.CancelledError:
        raise InterruptionError(
            f"interrupted; {site.name} may be half gone", where=site.environment.name, remedy=AGAIN
        ) from None


def _named(config: Config, name: str | None) -> Config:
    """The configuration as it was when the service had another name: what was released then has that one still."""
    if name is None:
        return config
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise ConfigError(
            f"{name!r} is no service's name", where="--name", remedy="Write it as [service] had it."
        ) from None
    return config.model_copy(update={"service": config.service.model_copy(update={"name": name})})


def _chosen(site: Site, only: str | None) -> list[str]:
    try:
        return site.chosen(only)
    except ConfigError as error:
        hosts = f"`hosts` of [env.{site.environment.name}]"
        error.remedy += f" If it was taken out of {hosts}, put it back, remove it, then take it out again."
        raise


def _removed(site: Site, only: str | None, *, renamed: bool) -> str:
    """What is gone, and what comes next. `renamed`: under its present name the site may be there still."""
    lines = [f"✓ {site.name} is gone from {', '.join(site.chosen(only))}. {STAYS}"]
    if only is not None and not renamed and not site.environment.local:
        lines.append(f"→ Take it out of `hosts` of [env.{site.environment.name}] now: the next release brings it back.")
    return "\n".join(lines)


def _in_a_swarm(site: str, env: str) -> ConfigError:
    return ConfigError(
        "a Swarm's site is taken away by Docker's own commands",
        where=env,
        remedy=f"On a manager: docker stack rm {site}-blue {site}-green",
    )


def _plan(site: Site, only: str | None, *, volumes: bool) -> str:
    kept = "their volumes go as well: the data is lost" if volumes else "their volumes stay"
    lines = [f"{site.name} would be removed:"]
    for name in site.chosen(only):
        lines.append(f"  {name}: {_there(site.states[name], kept)}")
    return "\n".join(lines)


def _there(state: State, kept: str) -> str:
    found = [f"serves {state.current.release}"] if state.current else []
    found += [f"{count} {what}{'' if count == 1 else 's'}" for what, count in _counts(state).items() if count]
    if state.accessories:
        found.append(f"accessories {', '.join(sorted(state.accessories))}; {kept}")
    return ", ".join(found) or "nothing is left"


def _is_there(state: State, site: str, *, volumes: bool) -> bool:
    """Whether a host knows of the site; half of it, where an earlier try was cut off. Of its `volumes`, which an
    earlier one may have kept, only the Engine knows: of a site that was there once they may be.
    """
    known = state.current or state.releases or state.containers or state.accessories or state.told
    return bool(known or (volumes and state.journal)) or address_of(state.proxy_config, site) is not None


def _counts(state: State) -> Mapping[str, int]:
    return {"container": len(state.containers), "release": len(state.releases)}


def _data(site: Site, only: str | None, outcome: str) -> dict[str, object]:
    hosts: Sequence[str] = site.chosen(only)
    return {
        "env": site.environment.name,
        "site": site.name,
        "outcome": outcome,
        "hosts": {
            name: {
                "release": current.release if (current := site.states[name].current) else None,
                "containers": len(site.states[name].containers),
                "releases": sorted(site.states[name].releases),
                "accessories": sorted(site.states[name].accessories),
            }
            for name in hosts
        },
    }
