"""What a person asks for, from connection to outcome: deploy, roll back, plan, and the state they find."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from portside import preflight, steps
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.errors import ConfigError, PortsideError, ReleaseError
from portside.facts import State
from portside.fleet import connected, everywhere, read_states
from portside.host.base import Host
from portside.host.script import script_argv
from portside.journal import Kind, Operation
from portside.lock import Claim, Lease, locked
from portside.making import Accessories, Draft, ProxyFiles, read_accessories, read_proxy
from portside.operators import operator
from portside.plan import Desired, Plan, make_plan
from portside.proxy import ADMIN_SOCKET, Admin, digest, with_site
from portside.recovery import recover
from portside.release import Release
from portside.report import Reporter, timed
from portside.rollout import Outcome, Rollout, run_step
from portside.steps import Target

PROXY_DEADLINE = 30
ACCESSORIES_DEADLINE = 180
Confirm = Callable[[Plan], bool]


@dataclass
class Site:
    """One environment under its lock: connected hosts, leases, and what each host is."""

    config: Config
    environment: Environment
    hosts: list[Host]
    leases: Mapping[str, Lease]
    states: dict[str, State]
    reporter: Reporter
    recovered: str = ""

    @property
    def name(self) -> str:
        return self.config.site(self.environment)

    def target(self, host: str, operation: Operation) -> Target:
        lease = self.leases[host]
        return Target(lease.host, self.name, lease.token, self.states[host], operation)

    def chosen(self, only: str | None) -> list[str]:
        """The host names that a `--host` filter leaves; all without one."""
        names = [host.name for host in self.hosts]
        if only is None:
            return names
        found = [name for name in names if only in (name, name.rpartition("@")[2])]
        if not found:
            raise ConfigError(
                f"no host {only!r} in {self.environment.name}",
                where="--host",
                remedy=f"It has: {', '.join(names)}.",
            )
        return found


@contextlib.asynccontextmanager
async def opened(
    config: Config, environment: Environment, reporter: Reporter, *, operation: str, full: bool
) -> AsyncIterator[Site]:
    """Connect, take the lock on all hosts, and clean up after a deployer that died."""
    site = config.site(environment)
    claim = Claim(environment.name, operator(), operation, environment.lock_ttl)
    async with connected(environment) as hosts, locked(hosts, site, claim, full=full) as leases:
        states = {name: lease.state for name, lease in leases.items() if lease.state is not None}
        recovered = await recover(leases, states, site, keep_warm=environment.keep_warm, reporter=reporter)
        if recovered:
            reporter.say(f"Found {recovered}.")
            states = await read_states(hosts, site, full=full)
        yield Site(config, environment, hosts, leases, states, reporter, recovered)


async def deploy(
    draft: Draft, reporter: Reporter, *, confirm: Confirm, only: str | None = None, force: bool = False
) -> Outcome | None:
    """Release what `draft` holds; None when nothing would change or the person said no."""
    config, environment = draft.config, draft.environment
    surroundings = await Surroundings.read(config, environment)
    async with opened(config, environment, reporter, operation=f"deploy {draft.image.reference}", full=True) as site:
        names = site.chosen(only)
        release = draft.release(previous=common_release(site.states), created=datetime.now(UTC))
        chosen = {name: site.states[name] for name in names}
        plan = make_plan(surroundings.desired(release, site), chosen)
        if not plan.changes and not force:
            return None
        preflight.check(chosen, environment, image_mb=0)
        if not confirm(plan):
            return None
        operations = operations_for(site, names, release, kind="deploy", fresh=True)
        targets = [site.target(name, operations[name]) for name in names]
        delivery = Delivery(config, environment, reporter, site.hosts)
        await surroundings.ensure(site, targets, release, delivery)
        for sidecar in draft.sidecars:
            await everywhere(targets, partial(_provide, delivery, sidecar))
        rollout = Rollout(
            config, environment, release, targets, reporter, files=draft.files(release), delivery=delivery
        )
        return await _finished(rollout, site)


async def _provide(delivery: Delivery, image: str, target: Target) -> None:
    await delivery.provide_named(target.host, image)


async def rollback(
    config: Config,
    environment: Environment,
    reporter: Reporter,
    *,
    to: str | None,
    confirm: Confirm,
    only: str | None = None,
) -> Outcome | None:
    """Back to the release before the current one, or to `to` (an id or the beginning of one)."""
    async with opened(config, environment, reporter, operation=f"rollback {to or ''}".strip(), full=True) as site:
        names = site.chosen(only)
        release = rollback_target(site, to)
        plan = rollback_plan(release, {name: site.states[name] for name in names})
        if not confirm(plan):
            return None
        operations = operations_for(site, names, release, kind="rollback", fresh=False)
        targets = [site.target(name, operations[name]) for name in names]
        delivery = Delivery(config, environment, reporter, site.hosts)
        rollout = Rollout(config, environment, release, targets, reporter, files=None, delivery=delivery)
        return await _finished(rollout, site)


async def _finished(rollout: Rollout, site: Site) -> Outcome:
    """Run it; an undone release's error carries the outcome, so that a report can show its phases."""
    try:
        return await rollout.run()
    except PortsideError as error:
        error.outcome = rollout.outcome
        raise
    finally:
        for host in site.hosts:
            rollout.outcome.exchanges[host.name] = host.traffic.exchanges
            rollout.outcome.bytes_sent[host.name] = host.traffic.sent


@dataclass(frozen=True)
class Surroundings:
    """What a release needs around it on a host and never changes: proxy, accessories."""

    config: Config
    environment: Environment
    proxy: ProxyFiles
    accessories: Accessories | None

    @classmethod
    async def read(cls, config: Config, environment: Environment) -> Surroundings:
        accessories = await read_accessories(config, environment)
        return cls(config, environment, read_proxy(config, environment), accessories)

    def desired(self, release: Release, site: Site) -> Desired:
        return Desired(
            release,
            self.proxy.fingerprint,
            {name: self._configuration(state, release) for name, state in site.states.items()},
            {name: self.accessories.fingerprint for name in self._accessory_hosts(site)} if self.accessories else {},
        )

    async def ensure(
        self,
        site: Site,
        targets: Sequence[Target],
        release: Release,
        delivery: Delivery,
        *,
        apply: bool = False,
    ) -> None:
        """Start what is missing. What is there is left alone, unless `apply`."""

        async def one(target: Target) -> None:
            await self._ensure_proxy(target, release, delivery, apply)
            if self.accessories and target.host.name in self._accessory_hosts(site):
                await self._ensure_accessories(target, delivery, apply)

        await everywhere(targets, one)

    def _accessory_hosts(self, site: Site) -> list[str]:
        """Where accessories run: as configured, else on the first host alone, so that there is one database."""
        configured = self.environment.accessory_hosts
        return [site.hosts[0].name] if configured is None else list(configured)

    def _configuration(self, state: State, release: Release) -> str:
        kept = [known.replicas for known in state.releases.values()]
        return with_site(state.proxy_config, self.config, self.environment, max([release.replicas, *kept]))

    async def _ensure_proxy(self, target: Target, release: Release, delivery: Delivery, apply: bool) -> None:
        state, host = target.state, target.host
        configuration = self._configuration(state, release)
        running = state.proxy is not None and state.proxy.running
        if not running or (apply and state.proxy and state.proxy.fingerprint != self.proxy.fingerprint):
            await delivery.provide_named(host, self.config.images.proxy)
            with timed(delivery.reporter, host.name, "proxy"):
                argv = script_argv("proxy", target.site, target.token, self.proxy.fingerprint, str(PROXY_DEADLINE))
                result = await host.run(
                    argv, stdin=self.proxy.archive(configuration), timeout=PROXY_DEADLINE + steps.GRACE
                )
                if result.exit_code != 0:
                    raise ReleaseError(
                        "the proxy did not start",
                        where=host.name,
                        why=result.stderr.decode(errors="replace").strip(),
                    )
        elif state.proxy_config != configuration.rstrip("\n"):
            await self._reload(target, configuration)

    async def _reload(self, target: Target, configuration: str) -> None:
        state, host = target.state, target.host
        admin = Admin(await host.tunnel(f"{state.base}/{ADMIN_SOCKET}"), host.name)
        try:
            await admin.load(configuration)
        finally:
            await admin.close()
        present = f"{state.proxy_config}\n" if state.proxy_config else ""
        argv = script_argv("proxy_config", target.site, target.token, digest(present))
        result = await host.run(argv, stdin=configuration.encode(), timeout=30 + steps.GRACE)
        result.check("the proxy's configuration could not be kept")

    async def _ensure_accessories(self, target: Target, delivery: Delivery, apply: bool) -> None:
        assert self.accessories is not None
        present = target.state.accessories_fingerprint
        if present and not (apply and present != self.accessories.fingerprint):
            return
        for image in self.accessories.images:
            await delivery.provide_named(target.host, image)
        with timed(delivery.reporter, target.host.name, "accessories"):
            step = steps.accessories(self.accessories.files, self.accessories.fingerprint, ACCESSORIES_DEADLINE)
            operation = Operation(id=operation_id(), kind="accessories", owner=operator())
            await run_step(Target(target.host, target.site, target.token, target.state, operation), step)


def operation_id() -> str:
    """Sorts by time; the tail tells two of the same second apart."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def operations_for(
    site: Site, names: Sequence[str], release: Release, *, kind: Kind, fresh: bool
) -> dict[str, Operation]:
    identity = operation_id()
    return {
        name: steps.operation_for(
            site.states[name], release, kind=kind, identity=identity, owner=operator(), fresh=fresh
        )
        for name in names
    }


def common_release(states: Mapping[str, State]) -> str | None:
    """The release that serves: of the hosts that have one, the latest committed."""
    currents = [state.current for state in states.values() if state.current]
    return max(currents, key=lambda current: current.committed).release if currents else None


def rollback_target(site: Site, to: str | None) -> Release:
    """The release to go back to. Raises ConfigError naming what there is."""
    known: dict[str, Release] = {}
    for state in site.states.values():
        known |= state.releases
    current = common_release(site.states)
    available = ", ".join(sorted(known, reverse=True)) or "none"
    if to is None:
        previous = next((state.current.previous for state in site.states.values() if state.current), None)
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
    if matches[0] == current:
        raise ConfigError(f"{current} is the current release already", where="--to", remedy=f"Others: {available}.")
    return known[matches[0]]


def rollback_plan(release: Release, states: Mapping[str, State]) -> Plan:
    """A rollback's plan leaves proxy and accessories as they are."""
    desired = Desired(
        release,
        "",
        {name: state.proxy_config for name, state in states.items()},
        {},
    )
    plan = make_plan(desired, states)
    return Plan(
        release.id,
        {host: tuple(change for change in changes if change.what != "proxy") for host, changes in plan.hosts.items()},
    )
