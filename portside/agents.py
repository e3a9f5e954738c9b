"""Keep the agent of every host current: whatever goes wrong with it is said, and never fails what it is part of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portside import steps
from portside.agent import NEEDED, OPTIONAL, WITHOUT, Agent, credentials, is_current, read_agent
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.errors import BuildError, HostError, PortsideError
from portside.facts import State
from portside.fleet import connected, everywhere
from portside.host.base import Host
from portside.host.script import script_argv
from portside.journal import Operation
from portside.lock import Claim, locked
from portside.observe.ingest import Ingest, ingest_credentials
from portside.observe.place import beside, place
from portside.operators import operator
from portside.release import archive
from portside.report import Reporter, timed
from portside.site import Site, operation_id
from portside.steps import Target

AGENT_DEADLINE = 90


def observed(config: Config, states: Mapping[str, State]) -> bool:
    """Whether anybody watches these hosts: the project says so, or `invoke observe` gave them an agent."""
    return "observe" in config.model_fields_set or any(state.agent for state in states.values())


async def outdated(site: Site) -> set[str]:
    """The hosts whose agent isn't there, doesn't run, is another, or has credentials that are no longer the gateway's.

    Where it can't be found out, none: it is looked at again when something else is to be done.
    """
    config = site.config
    if not observed(config, site.states):
        return set()
    try:
        agent = read_agent(config)
        reachable = [host for host in site.hosts if _reachable(config, host)]
        outside = any(not beside(config.observe, host) for host in reachable)
        ingest = await ingest_credentials(config) if outside else None
    except PortsideError:
        return set()
    return {
        host.name
        for host in reachable
        if not is_current(
            site.states[host.name],
            agent.fingerprint(_destination(config, host), site.environment.label(host.name)),
            credentials(None if beside(config.observe, host) else ingest),
        )
    }


async def refresh(site: Site, targets: Sequence[Target], *, apply: bool = False, force: bool = False) -> list[str]:
    """Install the agent where it is due, and with `apply` where its credentials are old; notes on what was left undone.

    `force`: even where nobody said that the hosts are watched. Raises nothing: the release stands without its agent.
    """
    config = site.config
    try:
        if not force and not observed(config, site.states):
            return []
        agent = read_agent(config)
        wanted = [target for target in targets if _wanted(config, site.environment, agent, target, apply)]
        if not wanted:
            return []
        outside = any(not beside(config.observe, target.host) for target in wanted)
        ingest = await ingest_credentials(config) if outside else None
        return await _Installation(site, agent, ingest).everywhere(wanted, apply)
    except PortsideError as error:
        return [f"the agent was left as it is: {error.what}{': ' + error.where if error.where else ''}"]


async def install(config: Config, environment: Environment, reporter: Reporter) -> list[str]:
    """The agent on all hosts of an environment, under its lock; notes. Raises PortsideError: no host, no lock."""
    claim = Claim(environment.name, operator(), "observe", environment.lock_ttl)
    name = config.site(environment)
    async with connected(environment) as hosts, locked(hosts, name, claim, full=False) as leases:
        states = {host: lease.state for host, lease in leases.items() if lease.state is not None}
        site = Site(config, environment, hosts, leases, states, reporter)
        operation = Operation(id=operation_id(), kind="maintenance", owner=operator())
        targets = [site.target(host.name, operation) for host in hosts]
        return await refresh(site, targets, apply=True, force=True)


async def install_beside(config: Config, reporter: Reporter) -> list[str]:
    """After the central stack was started: the agent of its own machine, and of the hosts around it; notes."""
    try:
        return await install(config, environment_of(config), reporter)
    except PortsideError as error:
        return [f"the agent was left as it is: {error.what}{': ' + error.where if error.where else ''}"]


def environment_of(config: Config) -> Environment:
    """The environment that the stack's machine belongs to; one of its own where nothing is released to it."""
    observe = config.observe
    mine = (each for each in config.env.values() if (observe.host in each.hosts if observe.host else each.local))
    return next(mine, place(observe))


def _reachable(config: Config, host: Host) -> bool:
    """Whether what an agent on this host sends can arrive anywhere."""
    return beside(config.observe, host) or config.observe.ingest_address is not None


def _destination(config: Config, host: Host) -> str:
    return "" if beside(config.observe, host) else f"https://{config.observe.ingest_address}"


def _wanted(config: Config, environment: Environment, agent: Agent, target: Target, apply: bool) -> bool:
    if not _reachable(config, target.host):
        return False
    fingerprint = agent.fingerprint(_destination(config, target.host), environment.label(target.host.name))
    return apply or not is_current(target.state, fingerprint)


class _Installation:
    """One go at all hosts that need it."""

    def __init__(self, site: Site, agent: Agent, ingest: Ingest | None) -> None:
        self._config, self._environment, self._reporter = site.config, site.environment, site.reporter
        self._agent, self._ingest = agent, ingest
        self._delivery = Delivery(site.config, site.environment, site.reporter, site.hosts)

    async def everywhere(self, targets: Sequence[Target], apply: bool) -> list[str]:
        async def one(target: Target) -> list[str]:
            try:
                return await self._install(target, apply)
            except PortsideError as error:
                why = f"\n{error.why}" if error.why else ""
                return [f"the agent of {target.host.name} was left as it is: {error.what}{why}"]

        found = await everywhere(targets, one)
        return list(dict.fromkeys(note for notes in found for note in notes))

    async def _install(self, target: Target, apply: bool) -> list[str]:
        host = target.host
        ingest = None if beside(self._config.observe, host) else self._ingest
        fingerprint = self._agent.fingerprint(_destination(self._config, host), self._environment.label(host.name))
        # What was left out may be had by now; only who asks for the agent itself waits to find out.
        if apply and is_current(target.state, fingerprint, credentials(ingest)) and not await self._more(target):
            return []
        with timed(self._reporter, host.name, "agent"):
            for service in NEEDED:
                await self._delivery.provide_named(host, self._agent.images[service])
            missing = [service for service in OPTIONAL if not await self._had(target, service)]
            for service in missing:
                if service in _present(target):
                    image = self._agent.images[service]
                    raise HostError(f"{image} can't be had, and an older one runs", where=host.name)
            files = self._agent.files(ingest, missing)
            profiles = ",".join(service for service in OPTIONAL if service not in missing)
            argv = script_argv(
                "agent",
                target.site,
                target.token,
                fingerprint,
                str(AGENT_DEADLINE),
                self._environment.label(host.name),
                self._environment.name,
                profiles or "-",
            )
            done = await host.run(argv, stdin=archive(files), timeout=AGENT_DEADLINE + steps.GRACE)
            if done.exit_code != 0:
                raise HostError(
                    "it did not start",
                    where=host.name,
                    why=done.stderr.decode(errors="replace").strip(),
                )
        return [
            f"{self._agent.images[service]} can't be had, so there are {WITHOUT[service]}: everything else is watched"
            for service in missing
        ]

    async def _more(self, target: Target) -> bool:
        present = _present(target)
        return any([await self._had(target, service) for service in OPTIONAL if service not in present])

    async def _had(self, target: Target, service: str) -> bool:
        host = target.host
        try:
            await self._delivery.provide_named(host, self._agent.images[service])
            if service == "alloy":
                await self._delivery.provide_named(host, self._agent.proxy_image, named_in="portside.toml")
        except BuildError:
            return False
        except PortsideError:
            # What runs is kept while nobody can say what may replace it.
            if service in _present(target):
                raise
            return False
        return True


def _present(target: Target) -> tuple[str, ...]:
    return target.state.agent.services if target.state.agent else ()
