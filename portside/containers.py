"""The commands that go inside: follow logs, run a command in the release."""

from __future__ import annotations

import asyncio
import shlex
import sys

from portside.cli import UNREAD, Terminal, number, project, run, unread
from portside.config import Config, Environment
from portside.errors import CommandError, ConfigError
from portside.fleet import connected, everywhere, read_states
from portside.host.base import Host

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
            states = await read_states(hosts, config.site(environment), full=False)

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
                current = states[each.name].current
                wanted = (current.previous if previous else current.release) if current else None
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
                await everywhere(hosts, stream)
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
        first = None if environment.local else [(_only(environment, host) or list(environment.hosts))[0]]
        async with connected(environment, first) as hosts:
            return await _exec(config, environment, hosts[0], service or config.service.web, argv)

    run(act, machine=True, failed=lambda _: None)


async def _exec(config: Config, environment: Environment, host: Host, service: str, argv: list[str]) -> int:
    state = (await read_states([host], config.site(environment), full=False))[host.name]
    current = state.current
    running = [
        container
        for container in state.containers
        if current and container.release == current.release and container.service == service and container.running
    ]
    if not running:
        raise CommandError(f"no container of {service} is running", where=host.name)
    result = await host.run(["docker", "exec", running[0].id, *argv], timeout=EXEC_SECONDS)
    try:
        await asyncio.to_thread(sys.stdout.buffer.write, result.stdout)
    except BrokenPipeError:
        unread(sys.stdout)
    sys.stderr.buffer.write(result.stderr)
    return result.exit_code


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
