"""What a person asks for, from a draft to an outcome: deploy, roll back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from portside import compose_yaml, preflight, steps
from portside.admission import admitted, doubts
from portside.compose import images
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.doors import address_of, with_doors
from portside.errors import ConfigError, InterruptionError, PortsideError, PreflightError
from portside.facts import State
from portside.fleet import everywhere
from portside.host.base import Host
from portside.journal import Kind
from portside.making import Draft
from portside.markers import as_served
from portside.notices import Ending
from portside.operators import operator
from portside.outcome import Outcome
from portside.plan import Desired, Plan, make_plan
from portside.proxy import Door
from portside.recovery import Recovered
from portside.release import Release
from portside.report import Reporter
from portside.rollout import Rollout
from portside.site import Site, opened, operation_id
from portside.steps import Target
from portside.surroundings import Surroundings, lead_to
from portside.watch import Watch, refreshed

if TYPE_CHECKING:
    from portside.swarm.ground import Ground
    from portside.swarm.values import Values

Confirm = Callable[[Plan], Awaitable[bool]]


async def deploy(
    draft: Draft, reporter: Reporter, *, confirm: Confirm, only: str | None = None, force: bool = False
) -> Outcome | None:
    """Release what `draft` holds; None when nothing would change or the person said no."""
    config, environment = draft.config, draft.environment
    surroundings = await Surroundings.read(config, environment)
    reference = draft.image.reference
    opening = opened(config, environment, reporter, operation=f"deploy {reference}", full=reference)
    async with _accounted(opening) as site:
        if site.recovered.unfit and not force:
            raise PreflightError(
                "the release before can't serve alone; another one would take the place of what answers for it",
                where=", ".join(site.recovered.unfit),
                why=site.recovered.text,
                remedy=f"Go back first: {site.recovered.action(environment.name)} (or deploy with --force)",
            )
        names = _released_to(site, only)
        swarm = await _swarm(site)
        release = _release(draft, site)
        chosen = {name: site.states[name] for name in names}
        plan = make_plan(surroundings.desired(release, site), chosen)
        if not plan.releases and not force:
            _say_left(plan, reporter)
            await refreshed(site, names)
            return None
        preflight.check(chosen, environment, draft.image)
        surroundings.check_ports(chosen)
        evidence = await admitted(config, environment, draft.image)
        if not await confirm(plan):
            return None
        targets = targets_for(site, names, release, swarm, kind="deploy", fresh=True)
        delivery = Delivery(config, environment, reporter, site.hosts)
        with Ending(site.notices, targets, release) as ending:
            await surroundings.ensure(site, targets, release, delivery)
            await _provide(delivery, draft.sidecars, targets, environment)
            watch = Watch.of(site, targets)
            rollout = _rollout(swarm, draft.swarm_values)(
                config,
                environment,
                release,
                targets,
                reporter,
                files={**draft.files(release), **evidence},
                delivery=delivery,
                silence=watch.silence,
                committed=ending.committed,
                move=partial(surroundings.move, site, targets, release) if surroundings.moving(targets) else None,
                only=only,
            )
            ending.outcome = rollout.outcome
            outcome = await _finished(rollout, site)
        return await _announced(watch, outcome)


def would_deploy(draft: Draft, surroundings: Surroundings, site: Site, *, only: str | None) -> Plan:
    """What a deploy would change as things are. Raises ConfigError where it can't go to that host alone."""
    chosen = {name: site.states[name] for name in _released_to(site, only)}
    return make_plan(surroundings.desired(_release(draft, site), site), chosen)


def _release(draft: Draft, site: Site) -> Release:
    return draft.release(previous=common_release(site.states), created=datetime.now(UTC))


async def _announced(watch: Watch, outcome: Outcome) -> Outcome:
    """The release serves, whether or not its address has moved: what comes after it comes in either case."""
    await watch.announce(outcome)
    if outcome.unmoved:
        raise outcome.unmoved
    return outcome


def _say_left(plan: Plan, reporter: Reporter) -> None:
    """Where a release would change nothing: what differs all the same, and whose it is to change."""
    for host, changes in plan.hosts.items():
        for change in changes:
            reporter.say(f"{host}: {change.what}: {change.before} → {change.after}")


async def _provide(
    delivery: Delivery, named: Sequence[str], targets: Sequence[Target], environment: Environment
) -> None:
    async def one(image: str, target: Target) -> None:
        await delivery.provide_named(target.host, image)

    for image in named:
        await everywhere(targets, partial(one, image), at_once=environment.max_parallel)


async def rollback(
    config: Config,
    environment: Environment,
    reporter: Reporter,
    *,
    to: str | None,
    confirm: Confirm,
    only: str | None = None,
) -> Outcome | Recovered | None:
    """Back to the release before the current one, or to `to` (an id or the beginning of one).

    Where a dead deployer's release had to be undone first, that was the way back: without `to` nothing more is done.
    """
    opening = opened(config, environment, reporter, operation=f"rollback {to or ''}".strip(), full=False)
    async with _accounted(opening) as site:
        if site.recovered.undone and to is None:
            return site.recovered
        names = _released_to(site, only)
        swarm = await _swarm(site)
        release = rollback_target(site, to, names)
        plan = would_roll_back(site, to, only=only)
        # After a `deploy --host` the others have it already. The nodes of a Swarm are alike by now.
        names = [name for name in names if not _serves(site.states[name], release)]
        environment = _served(site)
        # Accessories are none of a rollback, and would need secrets.
        surroundings = Surroundings(config, environment, None)
        surroundings.check_ports({name: site.states[name] for name in names if not _known(site, site.states[name])})
        for doubt in doubts(config, environment, release.image):
            reporter.say(doubt)
        if not await confirm(plan):
            return None
        targets = targets_for(site, names, release, swarm, kind="rollback", fresh=False)
        delivery = Delivery(config, environment, reporter, site.hosts)
        watch = Watch.of(site, targets)
        with Ending(site.notices, targets, release) as ending:
            await _surrounded(site, surroundings, targets, release, delivery)
            rollout = _rollout(swarm, None)(
                config,
                environment,
                release,
                targets,
                reporter,
                files=None,
                delivery=delivery,
                silence=watch.silence,
                committed=ending.committed,
                holder=_holder(site, release),
                only=only,
            )
            ending.outcome = rollout.outcome
            outcome = await _finished(rollout, site)
        return await _announced(watch, outcome)


def would_roll_back(site: Site, to: str | None, *, only: str | None) -> Plan:
    """What a rollback would change as things are. Raises ConfigError where there is nothing to go back to, or it can't
    go to that host alone."""
    names = _released_to(site, only)
    return rollback_plan(site, rollback_target(site, to, names), names)


def _serves(state: State, release: Release) -> bool:
    current = state.current
    return current is not None and (current.release, current.slot) == (release.id, state.serving)


def _holder(site: Site, release: Release) -> tuple[Host, State] | None:
    """A host that has `release`: any of the site's, also beside those that are rolled back."""
    having = (host for host in site.hosts if release.id in site.states[host.name].releases)
    return next(((host, site.states[host.name]) for host in having), None)


async def _surrounded(
    site: Site, surroundings: Surroundings, targets: Sequence[Target], release: Release, delivery: Delivery
) -> None:
    """Before a rollback, on every host: a proxy that asks the slot which `release` goes to where that listens, and the
    images that its Compose file names, where it has to be started."""
    await lead_to([target for target in targets if _known(site, target.state)], release)
    strange = [target for target in targets if not _known(site, target.state)]
    await surroundings.ensure_proxies(strange, release, delivery)
    cold = [target for target in targets if not target.operation.warm]
    if cold:
        await _provide(delivery, _sidecars(release), cold, site.environment)


def _known(site: Site, state: State) -> bool:
    """Whether a host has a proxy that has people find the site: it may run for others alone, and what was undone on a
    host where nothing served may have left another address there.
    """
    return state.has_proxy and state.current is not None and address_of(state.proxy_config, site.name) is not None


def _served(site: Site) -> Environment:
    """The environment with the address that the site's hosts have it at: a rollback moves none, nor does it bring one
    that was never deployed to a host where nothing serves yet.
    """
    serving = [(each.current.committed, each) for each in site.states.values() if each.current and _known(site, each)]
    if not serving:
        return site.environment
    return as_served(site.config, site.environment, max(serving, key=lambda pair: pair[0])[1])


def _sidecars(release: Release) -> tuple[str, ...]:
    """The images that a release's Compose file names beside its own."""
    found = images(compose_yaml.load(release.compose), {}, release.id)
    return tuple(image for image in found if image != release.image.reference)


async def _finished(rollout: Rollout, site: Site) -> Outcome:
    site.outcome = rollout.outcome
    try:
        return await rollout.run()
    finally:
        for host in site.hosts:
            rollout.outcome.exchanges[host.name] = host.traffic.exchanges
            rollout.outcome.bytes_sent[host.name] = host.traffic.sent


@contextlib.asynccontextmanager
async def _accounted(opening: AbstractAsyncContextManager[Site]) -> AsyncIterator[Site]:
    """The site that is opened. An error carries its outcome, so that a report can show its phases; who interrupts, be
    it while the hosts are left, is told what has become of the release.
    """
    site = None
    try:
        async with opening as site:
            yield site
    except PortsideError as error:
        error.outcome = site and site.outcome
        raise
    except asyncio.CancelledError:
        if site is None or site.outcome is None:
            raise
        interruption = _interruption(site.outcome, site.environment.name)
        interruption.outcome = site.outcome
        raise interruption from None


def _interruption(outcome: Outcome, env: str) -> InterruptionError:
    release, status = outcome.release, f"invoke status --env {env}{outcome.address_left(env)}"
    if outcome.outcome == "undone":
        serves = f"{outcome.previous} serves as before" if outcome.previous else "nothing serves, as before"
        return InterruptionError(f"interrupted; release {release} was undone; {serves}", where=env)
    if outcome.outcome == "released":
        back = f". To go back: {outcome.way_back(env)}" if outcome.previous else ""
        return InterruptionError(
            f"interrupted; release {release} is committed and serves",
            where=env,
            why="\n".join(filter(None, (unmoved.what, unmoved.why))) if (unmoved := outcome.unmoved) else "",
            remedy=f"The next command does what was left to do: {status}{back}",
        )
    # At the commit where no host has answered any more, or once more while it was undone.
    became = "committed" if outcome.outcome == "unfinished" else "undone everywhere"
    return InterruptionError(
        f"interrupted; nobody knows whether release {release} is {became}",
        where=env,
        remedy=f"The next command finds out, and finishes or undoes it: {status}",
    )


def targets_for(
    site: Site, names: Sequence[str], release: Release, swarm: Ground | None, *, kind: Kind, fresh: bool
) -> list[Target]:
    """The hosts with what the operation means at each; of a Swarm's, the one that acts first."""
    identity = operation_id()
    operations = {
        name: steps.operation_for(
            site.states[name], release, kind=kind, identity=identity, owner=operator(), fresh=fresh
        )
        for name in names
    }
    if swarm:
        operations, names = swarm.operations(operations), swarm.ordered(names)
    return [site.target(name, operations[name]) for name in names]


def _released_to(site: Site, only: str | None) -> list[str]:
    """The host names that `--host` leaves a release. Raises ConfigError: a Swarm's services aren't a node's own."""
    if site.environment.swarm and only is not None:
        raise ConfigError(
            "a Swarm is released to as a whole",
            where="--host",
            remedy="Leave it out. A node that is to get no containers: docker node update --availability drain NODE",
        )
    return site.chosen(only)


async def _swarm(site: Site) -> Ground | None:
    if not site.environment.swarm:
        return None
    # Only a Swarm's releases load it.
    from portside.swarm.ground import gathered  # noqa: PLC0415

    return await gathered(site)


def _rollout(swarm: Ground | None, values: Values | None) -> Callable[..., Rollout]:
    if swarm is None:
        return Rollout
    from portside.swarm.rollout import SwarmRollout  # noqa: PLC0415

    return partial(SwarmRollout, values=values)


def common_release(states: Mapping[str, State]) -> str | None:
    """The release that serves: of the hosts that have one, the latest committed."""
    currents = [state.current for state in states.values() if state.current]
    return max(currents, key=lambda current: current.committed).release if currents else None


def rollback_target(site: Site, to: str | None, names: Collection[str]) -> Release:
    """The release that the hosts `names` are to go back to. Raises ConfigError naming what there is."""
    known: dict[str, Release] = {}
    for state in site.states.values():
        known |= state.releases
    currents = [current for name in names if (current := site.states[name].current)]
    currents.sort(key=lambda current: current.committed, reverse=True)
    latest = next(iter(currents), None)
    available = ", ".join(sorted(known, reverse=True)) or "none"
    if to is None:
        # A host that came later, or was repaired, has none before it.
        before = (each.previous for each in currents if latest and each.release == latest.release)
        previous = next(filter(None, before), None)
        if previous is None or previous not in known:
            raise ConfigError(
                "there is no release before the current one to go back to",
                where=site.environment.name,
                remedy=f"Name one with --to. On the hosts: {available}.",
            )
        return known[previous]
    matches = [identity for identity in known if identity == to or identity.startswith(to) or identity.endswith(to)]
    if len(matches) != 1:
        raise ConfigError(
            f"{to!r} names {'no' if not matches else 'more than one'} release",
            where="--to",
            remedy=f"On the hosts: {available}.",
        )
    if latest and matches[0] == latest.release:
        raise ConfigError(f"{matches[0]} is the current release already", where="--to", remedy=f"Others: {available}.")
    return known[matches[0]]


def rollback_plan(site: Site, release: Release, names: Sequence[str]) -> Plan:
    """A rollback's plan leaves accessories as they are, a proxy that knows the site but for the slot it goes to, and
    all of a host that serves the release already.
    """
    surroundings = Surroundings(site.config, _served(site), None)
    states = {name: site.states[name] for name in names if not _serves(site.states[name], release)}

    def proxy_config(state: State) -> str:
        like = steps.operation_for(state, release, kind="rollback", identity="", owner="", fresh=False)
        if _known(site, state):
            return with_doors(state.proxy_config, site.name, {like.slot: Door.of(release)})
        return surroundings.configuration(state, release, like.slot)

    desired = Desired(release, {}, {name: proxy_config(state) for name, state in states.items()}, {})
    plan = make_plan(desired, states)
    return Plan(
        release.id,
        {host: tuple(change for change in plan.hosts.get(host, ()) if change.released) for host in names},
    )
