"""The commands that change what serves: deploy, restart, plan, rollback, with what they print."""

from __future__ import annotations

import asyncio
from typing import Any

from portside.cli import Terminal, project, run
from portside.config import Config, Environment
from portside.engine import ensure_engine
from portside.errors import ConfigError, LockError, PortsideError, UnfinishedError
from portside.fleet import connected, read_states, ready_to_connect
from portside.image.build import read_source
from portside.making import Draft, draft
from portside.operations import common_release, deploy, rollback, would_deploy, would_roll_back
from portside.operators import operator
from portside.outcome import Outcome
from portside.plan import Change, Plan
from portside.recovery import Recovered, abandoned
from portside.release import Release
from portside.report import timed
from portside.shipping import build, planned, shipped
from portside.site import Site
from portside.surroundings import Surroundings
from portside.waiting import named

WOULD_CHANGE = 2


def deploy_command(
    env: str, *, image: str | None, host: str | None, dry_run: bool, yes: bool, force: bool, machine: bool
) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        made = await _draft(config, environment, terminal, image, ships=not dry_run)
        if dry_run:
            await _show_plan(made, terminal, host)
        else:
            await _release(made, terminal, _Asking(terminal, environment, yes=yes), host=host, force=force)
        return 0

    run(act, machine=machine, failed=outcome_data)


def restart_command(env: str, *, host: str | None, dry_run: bool, yes: bool, machine: bool) -> None:
    """A deploy of the image that serves, whether or not anything else differs: all but the image is the checkout's."""

    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        if environment.local:
            await ensure_engine(terminal.reporter.say)
        serving = serving_release(await _looked(config, environment, terminal), host)
        terminal.reporter.say(f"{env} serves {serving.image.reference}. It starts anew, with this checkout's settings.")
        made = await _draft_of(config, environment, serving)
        if dry_run:
            await _show_plan(made, terminal, host)
        else:
            asking = _Asking(terminal, environment, yes=yes, same_image=True)
            await _release(made, terminal, asking, host=host, force=True)
        return 0

    run(act, machine=machine, failed=outcome_data)


def serving_release(site: Site, only: str | None) -> Release:
    """The release whose image serves on the hosts, of several the latest. Raises ConfigError where they have none or
    different images, UnfinishedError where a release was left in the middle: what serves is decided when that is ended.
    """
    env = site.environment.name
    if left := abandoned(site.states):
        ends = "finishes" if left.committed else "undoes"
        raise UnfinishedError(
            f"a {left.any.kind} of {left.any.release} was not ended, so what serves isn't settled",
            where=env,
            remedy=f"invoke status --env {env} {ends} it, and says what to do next.",
        )
    states = {name: site.states[name] for name in site.chosen(only)}
    # A node of a Swarm that was away remembers what served before.
    latest = common_release(states) if site.environment.swarm else None
    serving = {
        name: release
        for name, state in states.items()
        if state.current and (release := state.releases.get(state.current.release)) and latest in (None, release.id)
    }
    if not serving:
        raise ConfigError(
            "nothing is known to serve that could be started anew",
            where=env,
            remedy=f"Release an image there: invoke deploy --env {env} --image IMAGE",
        )
    images = {name: release.image.reference for name, release in serving.items()}
    if len(set(images.values())) > 1:
        host, image = next(iter(images.items()))
        raise ConfigError(
            "the hosts serve different images",
            where=env,
            why="\n".join(f"{name}: {each}" for name, each in images.items()),
            remedy=f"Bring all to one: invoke deploy --env {env} --image {image} (or another of these). "
            f"Or start each anew by itself: invoke restart --env {env} --host {host}",
        )
    return max(serving.values(), key=lambda release: release.created)


def rollback_command(env: str, *, to: str | None, host: str | None, dry_run: bool, yes: bool, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        environment = config.environment(env)
        if dry_run:
            site = await _looked(config, environment, terminal)
            plan = would_roll_back(site, to, only=host)
            terminal.result(plan_data(plan), plan_text(plan))
            return 0
        asking = _Asking(terminal, environment, yes=yes)
        outcome = await rollback(config, environment, terminal.reporter, to=to, confirm=asking, only=host)
        if isinstance(outcome, Recovered):
            terminal.result(
                {"outcome": "undone", "env": env, "recovered": outcome.text},
                f"That was the way back: nothing else was changed.\n→ Further back: invoke rollback --env {env}",
            )
        elif outcome is not None:
            _show_outcome(terminal, outcome, env)
        else:
            terminal.result(*_declined(env))
        return 0

    run(act, machine=machine, failed=outcome_data)


def plan_command(env: str, *, image: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        config = project(env)
        made = await _draft(config, config.environment(env), terminal, image, ships=False)
        return WOULD_CHANGE if await _show_plan(made, terminal, None) else 0

    run(act, machine=machine)


def build_command(*, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        await ensure_engine(terminal.reporter.say)
        image = await build(config, terminal.reporter)
        terminal.result(
            {"image": image.reference, "id": image.id, "bytes": image.size},
            f"✓ {image.reference}, {image.size / 1e6:.1f} MB\n→ invoke deploy --image {image.reference}",
        )

    run(act, machine=machine)


def push_command(env: str, *, image: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        if environment.registry == "none":
            raise ConfigError(
                f"{env} has no registry",
                where=f"portside.toml: env.{env}.registry",
                remedy="Nothing to push: `invoke deploy` sends missing layers over SSH.",
            )
        shipped_image = await shipped(config, environment, terminal.reporter, image=image)
        reference = shipped_image.reference
        terminal.result({"image": reference}, f"✓ {reference}\n→ invoke deploy --env {env} --image {reference}")

    run(act, machine=machine)


async def _draft(
    config: Config, environment: Environment, terminal: Terminal, image: str | None, *, ships: bool
) -> Draft:
    """The release to be. Without `ships` its image goes nowhere: somebody only wants to see what would change."""
    if image is None or environment.local:
        await ensure_engine(terminal.reporter.say)
    source, ready, _ = await asyncio.gather(
        read_source(config.root),
        (shipped if ships else planned)(config, environment, terminal.reporter, image=image),
        ready_to_connect(environment),
    )
    return await draft(config, environment, image=ready, commit=source.revision, created_by=operator())


async def _draft_of(config: Config, environment: Environment, serving: Release) -> Draft:
    """The release to be, of the image that serves. Its commit is that image's: the checkout's may be any other."""
    return await draft(config, environment, image=serving.image, commit=serving.commit, created_by=operator())


async def _release(made: Draft, terminal: Terminal, asking: _Asking, *, host: str | None, force: bool) -> None:
    """Deploy, and print how it ended."""
    env = made.environment.name
    outcome = await deploy(made, terminal.reporter, confirm=asking, only=host, force=force)
    if asking.declined:
        terminal.result(*_declined(env))
    elif outcome is None:
        terminal.result({"outcome": "unchanged", "env": env}, f"Nothing to do in {env}: it is as it would be.")
    else:
        _show_outcome(terminal, outcome, env)


async def _show_plan(made: Draft, terminal: Terminal, host: str | None) -> bool:
    """Print what a deploy would change; whether anything would."""
    config, environment = made.config, made.environment
    surroundings = await Surroundings.read(config, environment)
    site = await _looked(config, environment, terminal)
    plan = would_deploy(made, surroundings, site, only=host)
    terminal.result(plan_data(plan), plan_text(plan))
    return plan.changes


async def _looked(config: Config, environment: Environment, terminal: Terminal) -> Site:
    """The hosts as they are, with nothing locked: somebody only wants to see."""
    async with connected(environment, watched=lambda host: timed(terminal.reporter, host, "connect")) as hosts:
        states = await read_states(hosts, config.site(environment), full=False)
    if left := abandoned(states):
        begun = f"{left.any.kind} of {left.any.release}"
        terminal.reporter.say(f"A {begun} was not ended: the next command {'ends' if left.committed else 'undoes'} it.")
    return Site(config, environment, hosts, {}, states, terminal.reporter)


class _Asking:
    """Shows a plan, and asks whether it is to be; `declined` when it wasn't.

    With `same_image` a plan that changes the image is refused: it was read before the lock was ours, and somebody has
    released another one since.
    """

    def __init__(self, terminal: Terminal, environment: Environment, *, yes: bool, same_image: bool = False) -> None:
        self._terminal, self._environment, self._yes = terminal, environment, yes
        self._same_image = same_image
        self.declined = False

    async def __call__(self, plan: Plan) -> bool:
        if self._same_image:
            self._insist_on_the_image(plan)
        self._terminal.reporter.say(plan_text(plan))
        question = f"Release {plan.release} to {self._environment.name}?"
        self.declined = not await self._terminal.agreed(question, self._environment, yes=self._yes)
        return not self.declined

    def _insist_on_the_image(self, plan: Plan) -> None:
        moved = [
            f"{host}: {change.before}"
            for host, changes in plan.hosts.items()
            for change in changes
            if change.what == "image" and change.before != "none"
        ]
        if moved:
            raise LockError(
                "another image has come to serve meanwhile",
                where=self._environment.name,
                why="\n".join(moved),
                remedy="Nothing was changed. Type it again to start that one anew.",
            )


def _declined(env: str) -> tuple[dict[str, Any], str]:
    return {"outcome": "declined", "env": env}, "Nothing was changed."


def plan_text(plan: Plan) -> str:
    """Hosts that would change in the same way are told of together: of a hundred, that is what a person reads."""
    alike: dict[tuple[Change, ...], list[str]] = {}
    for host, changes in plan.hosts.items():
        alike.setdefault(changes, []).append(host)
    lines = []
    for changes, hosts in alike.items():
        lines.append(f"{named(hosts)}:{'' if changes else ' no change'}")
        for change in changes:
            arrow = (
                f"{change.before} → {change.after}" if change.before and change.after else change.before or change.after
            )
            first, *rest = arrow.splitlines() or [""]
            lines.append(f"  {change.what}: {first}")
            lines.extend(f"    {line}" for line in rest)
    return "\n".join(lines)


def plan_data(plan: Plan) -> dict[str, Any]:
    return {
        "changes": plan.changes,
        "hosts": {
            host: [{"what": change.what, "before": change.before, "after": change.after} for change in changes]
            for host, changes in plan.hosts.items()
        },
    }


def outcome_data(error: PortsideError) -> dict[str, Any]:
    """What `--json` adds to an error: the phases of the release that was undone."""
    return as_dict(error.outcome) if isinstance(error.outcome, Outcome) else {}


def as_dict(outcome: Outcome) -> dict[str, Any]:
    return {
        "release": outcome.release,
        "previous": outcome.previous,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "seconds": outcome.timings.phases,
        "notes": outcome.notes,
        "exchanges": outcome.exchanges,
        "bytes_sent": outcome.bytes_sent,
    }


def _show_outcome(terminal: Terminal, outcome: Outcome, env: str) -> None:
    took = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in outcome.timings.phases.items())
    text = f"✓ {outcome.release} serves {env}" + (f"; before it {outcome.previous}" if outcome.previous else "")
    text += f"\n  {took}"
    if back := outcome.way_back(env):
        text += f"\n→ Back again: {back}"
    terminal.result({"env": env, **as_dict(outcome)}, text)
