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
from portside.host.base import Host
from portside.operations import common_release

# A log that is followed may be silent for long; this only bounds how long a dead connection goes unnoticed.
SILENCE_SECONDS = 24 * 3600
EXEC_SECONDS = 3600
MOST_LINES = 1_000_000
# Compose writes this before every line, asked for colours or not.
ERASE_LINE = b"\x1b[2K"


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
        async with connected(environment, _only(environment, host)) as hosts:
            states, silent = await _states(hosts, config.site(environment))
            if environment.swarm:
                for error in silent:
                    terminal.error(error, None)
                wanted = {_wanted(state, previous=previous) for state in states.values()} - {None}
                if not wanted:
                    raise ConfigError("there is no such release here", where=environment.name)
                _check_service(service, wanted, states)
            elif silent:
                raise together(silent)

            async def stream(each: Host) -> None:
                if environment.swarm:
                    await tasks(each)
                    return
                current = states[each.name].current
                slot = (current.previous_slot if previous else current.slot) if current else None
                if slot is None:
                    raise ConfigError("there is no such release here", where=each.name)
                there = {container.service for container in states[each.name].containers}
                if service and service not in there:
                    raise ConfigError(
                        f"there is no service {service!r} on {each.name}",
                        where="--service",
                        remedy=f"It has: {', '.join(sorted(there))}.",
                    )
                options = ["--follow"] if follow else []
                options += ["--since", since] if since else []
                argv = ["docker", "compose", "--ansi", "never", "-p", f"{config.site(environment)}-{slot}", "logs"]
                argv += ["--no-color", "--tail", lines, *options, *([service] if service else [])]
                await _pass_on(each, argv, f"{each.name} " if len(hosts) > 1 else "")

            async def tasks(each: Host) -> None:
                """Of a Swarm's containers on a node; those that the Swarm puts there later aren't among them."""
                wanted = _wanted(states[each.name], previous=previous)
                options = ["--follow"] if follow else []
                options += ["--since", since] if since else []
                found = [
                    container
                    for container in states[each.name].containers
                    if container.release == wanted and service in (None, container.service)
                ]
                await everywhere(
                    found,
                    lambda container: _pass_on(
                        each,
                        ["docker", "logs", "--tail", lines, *options, container.id],
                        f"{each.name} {container.name.rpartition('.')[0]}  | ",
                    ),
                )

            try:
                await everywhere([each for each in hosts if each.name in states], stream)
            except BrokenPipeError:
                unread(sys.stdout)
                return UNREAD
        return 0

    run(act, machine=True, failed=lambda _: None)


async def _pass_on(host: Host, argv: list[str], prefix: str) -> None:
    """Print what a command says while it says it. Raises CommandError when it fails, BrokenPipeError unread."""
    channel = await host.open(argv, stderr_to_stdout=True)
    while text := await channel.readline(SILENCE_SECONDS):
        sys.stdout.write(prefix + text.replace(ERASE_LINE, b"").decode(errors="replace"))
        sys.stdout.flush()
    (await channel.close()).check()


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
            return await _exec(config.site(environment), hosts, service or config.service.web, argv, failures)

    run(act, machine=True, failed=lambda _: None)


async def _exec(
    site: str, hosts: Sequence[Host], service: str, argv: list[str], failures: Mapping[str, BaseException]
) -> int:
    """In the first container of the release that serves; a Swarm has it on any of its hosts."""
    states, silent = await _states(hosts, site)
    serving = common_release(states)
    _check_service(service, {serving}, states)
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


def _wanted(state: State, *, previous: bool) -> str | None:
    current = state.current
    return (current.previous if previous else current.release) if current else None


def _check_service(service: str | None, releases: Collection[str | None], states: Mapping[str, State]) -> None:
    """Raise ConfigError where `releases` are known to have no such service: no container says nothing in a Swarm, where
    a host may have none."""
    known = [state.releases[each] for state in states.values() for each in releases if each and each in state.releases]
    there = {role.name for release in known for role in release.roles}
    if service and there and service not in there:
        raise ConfigError(
            f"there is no service {service!r} in this release",
            where="--service",
            remedy=f"It has: {', '.join(sorted(there))}.",
        )


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
