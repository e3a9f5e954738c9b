"""The commands that go inside: follow logs, run a command in the release."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence

from portside.cli import UNREAD, Terminal, number, project, run, unread
from portside.config import Environment
from portside.errors import CommandError, ConfigError, PortsideError
from portside.facts import State
from portside.fleet import connected, everywhere, reached, read_states, together
from portside.following import Logs
from portside.host.base import Host
from portside.operations import common_release

EXEC_SECONDS = 3600
MOST_LINES = 1_000_000


def logs_command(
    env: str,
    *,
    host: str | None,
    service: str | None,
    follow: bool,
    tail: str | None,
    since: str | None,
    previous: bool,
) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        few = "all" if since else "100"
        lines = few if tail is None else str(number(tail, "--tail", 0, MOST_LINES))
        ended: list[PortsideError] = []
        async with connected(environment, _only(environment, host)) as hosts:
            states, silent = await _states(hosts, config.site(environment))
            if silent and not environment.swarm:
                raise together(silent)
            for error in silent:
                terminal.error(error, None)
            logs = Logs(
                site=config.site(environment),
                environment=environment,
                service=service or None,
                lines=lines,
                since=since,
                follow=follow,
                previous=previous,
                many=len(hosts) > 1,
                say=terminal.reporter.say,
            )
            _check_logs(logs, states)

            async def stream(each: Host) -> None:
                try:
                    await logs.stream(each, states[each.name])
                except PortsideError as error:
                    # The other hosts' go on.
                    if not follow or len(hosts) == 1:
                        raise
                    terminal.error(error, None)
                    ended.append(error)

            try:
                await everywhere([each for each in hosts if each.name in states], stream)
            except BrokenPipeError:
                unread(sys.stdout)
                return UNREAD
        return ended[0].exit_code if ended else 0

    run(act, machine=True, failed=lambda _: None)


def _check_logs(logs: Logs, states: Mapping[str, State]) -> None:
    """Raise ConfigError where there is no such release, or no such service in it."""
    environment, service = logs.environment, logs.service
    wanted = {logs.release(state) for state in states.values()} - {None}
    missing = [name for name, state in states.items() if logs.slot(state) is None]
    if not wanted if environment.swarm else missing:
        raise ConfigError("there is no such release here", where=environment.name if environment.swarm else missing[0])
    if service is None:
        return
    before = ["docker", "logs", *logs.docker(logs.lines, logs.since)]
    reached = _reached(environment, _accessory(logs.site, service, states), before)
    if environment.swarm:
        _check_service(service, wanted, states, reached)
        return
    for name, state in states.items():
        there = {container.service for container in state.containers}
        if service not in there:
            raise _no_service(service, f"on {name}", there, reached)


def exec_command(env: str, *, command: str, host: str | None, service: str | None) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        try:
            argv = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"not a command: {error}", where="--command") from None
        if not argv:
            raise ConfigError("it is empty", where="--command")
        chosen: Sequence[str] | None = _only(environment, host)
        if chosen is None and not environment.swarm:
            chosen = environment.hosts[:1]
        async with reached(environment, chosen) as (hosts, failures):
            if not hosts:
                raise together(list(failures.values()))
            site, role = config.site(environment), service or config.service.web
            return await _exec(site, hosts, role, argv, failures, environment=environment)

    run(act, machine=True, failed=lambda _: None)


async def _exec(
    site: str,
    hosts: Sequence[Host],
    service: str,
    argv: list[str],
    failures: Mapping[str, BaseException],
    *,
    environment: Environment,
) -> int:
    """In the first container of the release that serves; a Swarm has it on any of its hosts."""
    states, silent = await _states(hosts, site)
    serving = common_release(states)
    reached = _reached(environment, _accessory(site, service, states), ["docker", "exec", "-i"], argv)
    _check_service(service, {serving}, states, reached)
    running = [
        (host, container)
        for host in hosts
        if host.name in states
        for container in states[host.name].containers
        if serving and container.release == serving and container.service == service and container.running
    ]
    if not running:
        raise CommandError(
            f"no container of {service} is running",
            where=", ".join(states),
            why="\n".join(map(str, (*failures.values(), *silent))),
        )
    host, container = running[0]
    result = await host.run(["docker", "exec", container.id, *argv], timeout=EXEC_SECONDS)
    try:
        await asyncio.to_thread(sys.stdout.buffer.write, result.stdout)
    except BrokenPipeError:
        unread(sys.stdout)
    sys.stderr.buffer.write(result.stderr)
    return result.exit_code


async def _states(hosts: Sequence[Host], site: str) -> tuple[dict[str, State], list[PortsideError]]:
    """The states of the hosts that tell theirs, by name, and the errors of the others. Raises these where none does."""
    told = await asyncio.gather(*(read_states([host], site, full=False) for host in hosts), return_exceptions=True)
    states = {name: state for each in told if isinstance(each, dict) for name, state in each.items()}
    errors = [each for each in told if isinstance(each, BaseException)]
    silent = [error for error in errors if isinstance(error, PortsideError)]
    if not states or len(silent) < len(errors):
        raise together(errors)
    return states, silent


def _check_service(service: str, releases: Collection[str | None], states: Mapping[str, State], reached: str) -> None:
    """Raise ConfigError where `releases` are known to have no such service: no container says nothing in a Swarm, where
    a host may have none."""
    known = [state.releases[each] for state in states.values() for each in releases if each and each in state.releases]
    there = {role.name for release in known for role in release.roles}
    if service not in there and (there or reached):
        raise _no_service(service, "in this release", there, reached)


def _no_service(service: str, where: str, there: Collection[str], reached: str) -> ConfigError:
    """`reached`: what to type where it is an accessory, else ""."""
    return ConfigError(
        f"there is no service {service!r} {where}",
        where="--service",
        remedy=f"It is an accessory: {reached}" if reached else f"It has: {', '.join(sorted(there))}.",
    )


def _accessory(site: str, service: str, states: Mapping[str, State]) -> tuple[str, str] | None:
    """The host that has an accessory of this name, and its container there."""
    host = next((name for name, state in states.items() if service in state.accessories), None)
    return None if host is None else (host, f"{site}-accessories-{service}-1")


def _reached(
    environment: Environment, accessory: tuple[str, str] | None, before: Sequence[str], after: Sequence[str] = ()
) -> str:
    """What a person types to reach an accessory, with Docker's words before and after its name; "" where it is none."""
    if accessory is None:
        return ""
    host, container = accessory
    argv = [*before, container, *after]
    command = shlex.join(argv)
    if environment.local:
        return command
    destination, _, port = host.partition(":")
    ssh = ["ssh", *(["-F", str(environment.ssh_config)] if environment.ssh_config else [])]
    ssh += [*(["-p", port] if port else []), destination]
    # What our shell has read the host's reads again.
    return f"{shlex.join(ssh)} {command if command == ' '.join(argv) else shlex.quote(command)}"


def _only(environment: Environment, host: str | None) -> list[str] | None:
    """The destination that `--host` names, or None for all."""
    if host is None or environment.local:
        return None
    found = [name for name in environment.hosts if host in (name, name.rpartition("@")[2])]
    if not found:
        raise ConfigError(
            f"no host {host!r} in {environment.name}",
            where="--host",
            remedy=f"It has: {', '.join(environment.hosts)}.",
        )
    return found
