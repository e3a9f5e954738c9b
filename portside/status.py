"""The commands that look: what runs where, and who released what and when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from portside.cli import Terminal, project, run
from portside.config import Config, Environment
from portside.errors import PortsideError
from portside.facts import State
from portside.fleet import enough, reached, read_states, together
from portside.journal import Entry, Phase
from portside.recovery import Recovered, abandoned, left_behind
from portside.release import Current
from portside.site import opened
from portside.surroundings import accessory_hosts
from portside.waiting import named

# A host that can't be reached, or doesn't say how it is, makes `status` end with this, after showing the others
# (exit-codes: HostError).
UNREACHABLE = 4
# How an operation has ended, by the phase that ended it.
ENDED: Mapping[Phase, str] = {"commit": "released", "undo": "undone", "remove": "removed"}


def status_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        states, lost, unread = await _states(config, environment)
        failures = {**lost, **unread}
        recovered = Recovered()
        if goes_on(environment, states, failures) and abandoned(states):
            async with opened(config, environment, terminal.reporter, operation="status", full=False) as site:
                # Who holds the lock is this command.
                states = {host: replace(state, holder=None) for host, state in site.states.items()}
                recovered = site.recovered
        following = next_step(
            states,
            lost,
            recovered,
            env,
            unread=unread,
            accessories=accessory_hosts(environment, []) if config.service.accessories and environment.hosts else (),
            swarm=environment.swarm,
        )
        if machine:
            data = {host: state_data(state) for host, state in states.items()}
            unreachable = {host: str(error) for host, error in failures.items()}
            terminal.result(
                {"env": env, "recovered": recovered.text, "next": following, "hosts": data, "unreachable": unreachable},
                "",
            )
        else:
            terminal.out.print(_table(states))
            for host, state in states.items():
                if state.holder:
                    terminal.out.print(f"{host}: locked by {state.holder}")
            for error in failures.values():
                terminal.out.print(f"✗ {error}")
            if following:
                terminal.out.print(f"→ {following}")
        return UNREACHABLE if failures else 0

    run(act, machine=machine)


def goes_on(environment: Environment, states: Mapping[str, State], failures: Mapping[str, BaseException]) -> bool:
    """Whether what a dead deployer left can be ended with the hosts that are there: the rule of `connected`."""
    return not failures or (environment.swarm and enough(list(states), failures.values()))


def next_step(
    states: Mapping[str, State],
    lost: Mapping[str, BaseException],
    recovered: Recovered,
    env: str,
    *,
    unread: Mapping[str, BaseException] | None = None,
    accessories: Collection[str] = (),
    swarm: bool = False,
) -> str:
    """The one thing to do next; "" where there is nothing. `unread` are there, and don't say how they are;
    `accessories` are the hosts that these are to run on.
    """
    if unread:
        return f"See what is wrong on {' and '.join(unread)}: invoke doctor --env {env}"
    if lost:
        # What a Swarm has found and ended without them comes first.
        return recovered.action(env) or f"When {' and '.join(lost)} can be reached again: invoke status --env {env}"
    if recovered.text:
        return recovered.action(env)
    if left_behind(states) is not None:
        # Nobody is told to break the lock of a release that is under way.
        return f"Somebody is releasing, or died a moment ago. In a moment: invoke status --env {env}"
    wrong = next(_wrong(states, accessories, swarm=swarm), "")
    return wrong and f"{wrong}: invoke doctor --env {env}"


def _wrong(states: Mapping[str, State], accessories: Collection[str], *, swarm: bool) -> Iterator[str]:
    """What keeps hosts from serving as they were released to, the worst first."""
    serving = [(state, state.current) for state in states.values() if state.current]
    if not all(state.has_proxy for state, _ in serving):
        yield "A proxy doesn't run"
    runs = [_runs(state, current, all_of_it=not swarm) for state, current in serving]
    # In a Swarm a node may have none, and has what is left of some that it replaced.
    if not (any(runs) or not runs if swarm else all(runs)):
        yield "Containers of the release don't run"
    gone = [host for host in accessories if (state := states.get(host)) and _lacks_accessories(state)]
    if gone or any(status != "running" for state in states.values() for status in state.accessories.values()):
        yield "An accessory doesn't run"
    if any(state.serves and not state.current for state in states.values()) and not swarm:
        yield "What serves on a host isn't on record"
    if len({current.release for _, current in serving}) > 1 and not swarm:
        yield "The hosts serve different releases"


def _runs(state: State, current: Current, *, all_of_it: bool) -> bool:
    """Whether everything that the current release has on a host runs; or whether anything of it does."""
    serving = (current.release, current.slot)
    mine = Counter(each.service for each in state.containers if each.running and (each.release, each.slot) == serving)
    release = state.releases.get(current.release)
    if release is None or not all_of_it:
        return bool(mine)
    return all(mine[role.name] >= role.replicas for role in release.roles)


def _lacks_accessories(state: State) -> bool:
    """Whether they were started here, and none is there any more."""
    return bool(state.accessories_fingerprint) and not state.accessories


def history_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        states, lost, unread = await _states(config, config.environment(env))
        failures = {**lost, **unread}
        if not states:
            raise together(list(failures.values()))
        rows: list[dict[str, Any]] = [
            {
                "at": entry.when.isoformat(timespec="seconds"),
                "kind": entry.operation.kind,
                "release": entry.operation.release,
                "previous": entry.operation.previous,
                "outcome": ENDED[entry.phase],
                "by": entry.operation.owner,
                "reason": entry.reason,
                "commit": entry.operation.commit or _commit(states, entry.operation.release),
                "hosts": on,
            }
            for entry, on in history(states)
        ]
        if machine:
            unreachable = {host: str(error) for host, error in failures.items()}
            terminal.result({"env": env, "hosts": list(states), "history": rows, "unreachable": unreachable}, "")
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("when", "what", "release", "outcome", "by", "commit"):
            table.add_column(column)
        for row in rows:
            outcome = f"{row['outcome']}{': ' + str(row['reason']) if row['reason'] else ''}"
            some = f" on {named(row['hosts'])}" if len(row["hosts"]) < len(states) else ""
            revision, *dirty = row["commit"].partition("-")
            table.add_row(
                row["at"],
                f"{row['kind']}{some}",
                row["release"],
                outcome,
                row["by"],
                "".join((revision[:12], *dirty)),
            )
        terminal.out.print(table)
        for error in failures.values():
            terminal.out.print(f"✗ {error}")

    run(act, machine=machine)


def history(states: Mapping[str, State]) -> list[tuple[Entry, list[str]]]:
    """The operations that ended, newest first, each with the hosts whose journals say so: releases, rollbacks, what was
    undone, and a site that was taken away.
    """
    ended: dict[str, dict[str, Entry]] = {}
    for host, state in states.items():
        for entry in state.journal:
            if entry.event == "end" and entry.phase in ENDED:
                ended.setdefault(entry.operation.id, {}).setdefault(host, entry)
    # One commit is enough, as it is to whoever cleans up after a crash.
    told = [
        (min(each.values(), key=lambda entry: (entry.phase != "commit", entry.at)), list(each))
        for each in ended.values()
    ]
    return sorted(told, key=lambda found: (found[0].at, found[0].operation.id), reverse=True)


async def _states(
    config: Config, environment: Environment
) -> tuple[dict[str, State], dict[str, BaseException], dict[str, BaseException]]:
    """How the hosts are; why one can't be reached; why one that can be doesn't say how it is. Each by host."""
    site = config.site(environment)
    async with reached(environment) as (hosts, lost):
        read = await asyncio.gather(*(read_states([host], site, full=False) for host in hosts), return_exceptions=True)
    states: dict[str, State] = {}
    unread: dict[str, BaseException] = {}
    for host, found in zip(hosts, read, strict=True):
        if isinstance(found, BaseException):
            unread[host.name] = found
        else:
            states |= found
    unexpected = [error for error in (*lost.values(), *unread.values()) if not isinstance(error, PortsideError)]
    if unexpected:
        raise unexpected[0]
    return states, lost, unread


def state_data(state: State) -> dict[str, Any]:
    """One host's state for machines."""
    current = state.current
    release = state.releases.get(current.release) if current else None
    return {
        "release": current.release if current else None,
        "image": release.image.reference if release else None,
        "previous": current.previous if current else None,
        "committed": current.committed.isoformat() if current else None,
        "route": state.route,
        "maintenance": state.maintenance,
        "releases": sorted(state.releases, reverse=True),
        "containers": [
            {
                "name": container.name,
                "service": container.service,
                "release": container.release,
                "state": container.state,
                "status": container.status,
            }
            for container in state.containers
        ],
        "accessories": state.accessories,
        "proxy": "running" if state.proxy and state.proxy.running else "not running",
        "lock": asdict(state.holder) if state.holder else None,
    }


def _table(states: Mapping[str, State]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("host", "release", "since", "containers", "kept", "proxy", "accessories"):
        table.add_column(column)
    for host, state in states.items():
        current = state.current
        running = [container for container in state.containers if container.running]
        mine = [container for container in running if current and container.release == current.release]
        services = {container.service for container in mine}
        shown = ", ".join(
            f"{service} {sum(container.service == service for container in mine)}" for service in sorted(services)
        )
        table.add_row(
            host,
            (current.release if current else "none") + (" (maintenance page)" if state.maintenance else ""),
            _ago(current.committed) if current else "",
            shown or "none running",
            str(len(state.releases)),
            "running" if state.proxy and state.proxy.running else "not running",
            ", ".join(f"{name} {status}" for name, status in state.accessories.items()) or "–",
        )
    return table


def _ago(moment: datetime) -> str:
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _commit(states: Mapping[str, State], release: str) -> str:
    for state in states.values():
        if release in state.releases:
            return state.releases[release].commit
    return ""
