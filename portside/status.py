"""The commands that look: what runs where, and who released what and when."""

from __future__ import annotations

from collections.abc import Mapping
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
from portside.site import opened
from portside.waiting import named

# A host that can't be reached makes `status` end with this, after showing the others (exit-codes: HostError).
UNREACHABLE = 4
# How an operation has ended, by the phase that ended it.
ENDED: Mapping[Phase, str] = {"commit": "released", "undo": "undone", "remove": "removed"}


def status_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        states, failures = await _states(config, environment)
        recovered = Recovered()
        if goes_on(environment, states, failures) and abandoned(states):
            async with opened(config, environment, terminal.reporter, operation="status", full=False) as site:
                states, recovered = site.states, site.recovered
        following = next_step(states, failures, recovered, env, swarm=environment.swarm)
        if machine:
            data = {host: state_data(state) for host, state in states.items()}
            lost = {host: str(error) for host, error in failures.items()}
            terminal.result(
                {"env": env, "recovered": recovered.text, "next": following, "hosts": data, "unreachable": lost}, ""
            )
        else:
            terminal.out.print(_table(states))
            for host, state in states.items():
                if state.holder:
                    terminal.out.print(f"{host}: locked by {state.holder.owner}: {state.holder.operation}")
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
    failures: Mapping[str, BaseException],
    recovered: Recovered,
    env: str,
    *,
    swarm: bool = False,
) -> str:
    """The one thing to do next; "" where there is nothing."""
    if failures:
        # What a Swarm has found and ended without them comes first.
        return recovered.action(env) or f"When {' and '.join(failures)} can be reached again: invoke status --env {env}"
    if recovered.text:
        return recovered.action(env)
    if left_behind(states) is not None:
        # Nobody is told to break the lock of a release that is under way.
        return f"Somebody is releasing, or died a moment ago. In a moment: invoke status --env {env}"
    serving = {host: state for host, state in states.items() if state.current}
    if any(state.proxy is None or not state.proxy.running for state in serving.values()):
        return f"A proxy doesn't run: invoke doctor --env {env}"
    runs = [_runs(state, all_of_them=not swarm) for state in serving.values()]
    # In a Swarm a node may have none, and has what is left of some that it replaced.
    if not (any(runs) or not runs if swarm else all(runs)):
        return f"Containers of the release don't run: invoke doctor --env {env}"
    return ""


def _runs(state: State, *, all_of_them: bool) -> bool:
    """Whether every container of the current release that this host has runs, and there is one; or whether any does."""
    current = state.current
    serving = current and (current.release, current.slot)
    mine = [each.running for each in state.containers if (each.release, each.slot) == serving]
    return bool(mine) and (all(mine) if all_of_them else any(mine))


def history_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        states, failures = await _states(config, config.environment(env))
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
            lost = {host: str(error) for host, error in failures.items()}
            terminal.result({"env": env, "hosts": list(states), "history": rows, "unreachable": lost}, "")
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


async def _states(config: Config, environment: Environment) -> tuple[dict[str, State], Mapping[str, BaseException]]:
    async with reached(environment) as (hosts, failures):
        states = await read_states(hosts, config.site(environment), full=False)
    unexpected = [error for error in failures.values() if not isinstance(error, PortsideError)]
    if unexpected:
        raise unexpected[0]
    return states, failures


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
        "lock": {"owner": state.holder.owner, "operation": state.holder.operation, "since": state.holder.since}
        if state.holder
        else None,
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
