"""`invoke host-bootstrap`: look at each machine as root, show what it lacks, do that, then start the proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from portside.bootstrap import TRIAL_SECONDS, Step
from portside.cli import Terminal, project, run
from portside.command import tail
from portside.config import Environment
from portside.errors import HostError, PortsideError
from portside.fleet import connected, together
from portside.host.script import root_argv
from portside.machines import Asked, Machine, opened
from portside.proxies import AGENT, PROXY_CHANGES, add_proxy, ensure_proxy
from portside.report import Reporter, timed

HERE = "localhost"


def bootstrap_command(env: str, asked: Asked, *, dry_run: bool, yes: bool, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        async with opened(environment, asked, terminal.reporter.say) as machines:
            plans = {each.name: list(each.steps) for each in machines}
            notes = [f"{each.name}: {note}" for each in machines for note in each.notes]
            if environment.local:
                plans = {HERE: []}
            await add_proxy(plans, config, environment)
            data = {"env": env, "outcome": "unchanged", "hosts": _data(plans), "notes": notes}
            for note in notes:
                terminal.reporter.say(note)
            if not any(plans.values()):
                terminal.result(data, f"Nothing to do: {', '.join(plans)} {_are(plans)} as it would be.")
                return
            if dry_run:
                terminal.result({**data, "outcome": "dry-run"}, _text(plans))
                return
            terminal.reporter.say(_text(plans))
            if not await terminal.agreed(f"Do this on {', '.join(plans)}?", environment, yes=yes):
                terminal.result({"env": env, "outcome": "declined"}, "Nothing was changed.")
                return
            turns = _Turns()
            ends = await asyncio.gather(
                *(_do(each, plans[each.name], terminal.reporter, environment, turns) for each in machines),
                # One host's failure is no reason to cut the others' installations short.
                return_exceptions=True,
            )
            if failed := [each for each in ends if isinstance(each, BaseException)]:
                raise together(failed)
        await ensure_proxy(config, environment, [name for name, plan in plans.items() if plan], terminal.reporter)
        terminal.result({**data, "outcome": "changed"}, f"✓ {', '.join(plans)}: ready\n→ invoke deploy --env {env}")

    run(act, machine=machine)


class _Turns:
    """Hosts whose services are away for a moment are so one after the other, and no further one once one stays away."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failed = ""

    @contextlib.asynccontextmanager
    async def turn(self, machine: Machine, step: Step) -> AsyncIterator[None]:
        if not step.disrupts:
            yield
            return
        async with self._lock:
            if self._failed:
                raise HostError(f"did not {step.what}, because {self._failed} failed at it", where=machine.name)
            try:
                yield
            except BaseException:
                self._failed = machine.name
                raise


async def _do(
    machine: Machine, plan: Sequence[Step], reporter: Reporter, environment: Environment, turns: _Turns
) -> None:
    for step in plan:
        if step.name in (*PROXY_CHANGES, AGENT):
            continue
        async with turns.turn(machine, step):
            with timed(reporter, machine.name, step.name):
                await _run(machine, step)
                if step.keep:
                    await _keep(machine, step, environment)


async def _run(machine: Machine, step: Step) -> None:
    argv = root_argv(step.script, step.name, *step.arguments, sudo=machine.sudo)
    result = await machine.host.run(argv, stdin=step.stdin.encode() or None, timeout=step.timeout)
    if result.exit_code != 0:
        *output, last = tail(result.stderr or result.stdout).splitlines() or [f"exit code {result.exit_code}"]
        raise HostError(
            f"could not {step.what}: {last}",
            where=f"{machine.name}, {step.name}",
            why="\n".join(output),
            remedy="What was done before this stays. Mend the cause and type the same again.",
        )


async def _keep(machine: Machine, step: Step, environment: Environment) -> None:
    """Only a connection made under what the step changed shows that it locks nobody out."""
    try:
        async with connected(environment, [machine.host.name]) as (again,):
            keep = Step(step.keep, f"keep what {step.name} changed", script=step.script)
            await _run(replace(machine, host=again), keep)
    except PortsideError as error:
        raise HostError(
            f"after {step.name} no new connection came through, so the host takes it back: {error.what}",
            where=machine.name,
            why=error.why,
            remedy=f"Within {TRIAL_SECONDS} s all is as before. Mend the cause and type the same again.",
        ) from None


def _text(plans: Mapping[str, Sequence[Step]]) -> str:
    lines = []
    for name, steps in plans.items():
        lines += [f"{name}:", *(f"  {step.name}: {step.what}" for step in steps)] if steps else [f"{name}: no change"]
    return "\n".join(lines)


def _data(plans: Mapping[str, Sequence[Step]]) -> dict[str, list[dict[str, str]]]:
    return {name: [{"step": step.name, "what": step.what} for step in steps] for name, steps in plans.items()}


def _are(plans: Mapping[str, object]) -> str:
    return "is" if len(plans) == 1 else "are"
