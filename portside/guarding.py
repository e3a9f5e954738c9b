"""The commands that change a site without releasing: lock, unlock, maintenance page, accessories."""

from __future__ import annotations

from datetime import UTC, datetime

from portside import steps
from portside.cli import Terminal, number, project, run
from portside.delivery import Delivery
from portside.errors import ConfigError
from portside.facts import NONSENSE, parse_holder
from portside.fleet import connected, everywhere
from portside.host.base import Host
from portside.host.script import script_argv
from portside.journal import Operation
from portside.lock import Claim, locked
from portside.operators import operator
from portside.orders import run_step
from portside.site import opened, operation_id
from portside.steps import Target
from portside.surroundings import Surroundings

MOST_MINUTES = 7 * 24 * 60


def lock_command(env: str, *, message: str, minutes: str, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        length = number(minutes, "--minutes", 1, MOST_MINUTES)
        claim = Claim(env, operator(), "invoke lock", length * 60, message=message, leave=True)
        async with connected(environment) as hosts, locked(hosts, config.site(environment), claim, full=False):
            pass
        terminal.result(
            {"env": env, "locked": True, "minutes": length},
            f"{env} is locked for {length} min. Free it: invoke unlock --env {env}",
        )

    run(act, machine=machine)


def unlock_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        site = config.site(environment)

        async def one(host: Host) -> str:
            result = await host.run(script_argv("unlock", site), timeout=30)
            text = result.check("the lock could not be broken").text
            if not text:
                return ""
            try:
                holder = parse_holder(0, text)
            except NONSENSE:
                return f"{host.name}: was held, by whom can't be read any more"
            return f"{host.name}: was held by {holder}"

        async with connected(environment) as hosts:
            broken = [text for text in await everywhere(hosts, one) if text]
        terminal.result(
            {"env": env, "broken": broken},
            "\n".join(broken) + f"\n{env} is free; what was left behind is cleaned up by the next command."
            if broken
            else f"{env} was not locked.",
        )

    run(act, machine=machine)


def maintenance_command(env: str, *, on: bool, off: bool, host: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        if on == off:
            raise ConfigError("say either --on or --off", where="maintenance")
        config = project(env)
        environment = config.environment(env)
        whole = environment.swarm and host is None
        operation = Operation(id=operation_id(), kind="maintenance", owner=operator(), swarm="follows" if whole else "")
        async with opened(config, environment, terminal.reporter, operation="maintenance", full=False) as site:
            missed = sorted(set(environment.hosts) - {each.name for each in site.hosts}) if whole else []
            targets = [site.target(name, operation) for name in site.chosen(host)]

            async def one(target: Target) -> None:
                await run_step(target, steps.maintenance(on))

            await everywhere(targets, one)
        back = f"Back: invoke maintenance --off --env {env}"
        said = [f"{env} shows the maintenance page. {back}" if on else f"{env} serves."]
        if missed:
            names = ", ".join(missed)
            said.append(f"Not on {names}, which can't be reached: the next deploy or rollback brings it up to date.")
        terminal.result({"env": env, "maintenance": on, "missed": missed}, "\n".join(said))

    run(act, machine=machine)


def accessories_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        surroundings = await Surroundings.read(config, environment)
        if surroundings.accessories is None:
            raise ConfigError(f"{env} has no accessories", where="portside.toml: service.accessories")
        operation = Operation(id=operation_id(), kind="accessories", owner=operator())
        async with opened(config, environment, terminal.reporter, operation="accessories", full=True) as site:
            delivery = Delivery(config, environment, terminal.reporter, site.hosts)
            targets = [site.target(host.name, operation) for host in site.hosts]
            changed = await surroundings.ensure_accessories(site, targets, delivery)
        when = f"{datetime.now(UTC):%H:%M:%S}"
        terminal.result(
            {"env": env, "changed": changed, "at": when},
            f"Accessories of {env} run as compose says: {', '.join(changed) or 'nothing had to change'}.",
        )

    run(act, machine=machine)
