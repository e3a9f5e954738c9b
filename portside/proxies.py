"""The proxy of hosts, and the agent beside it, outside of a release: what they lack, and bringing both up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from portside.agents import outdated, refresh
from portside.bootstrap import STEP_SECONDS, Step
from portside.compose import read_compose
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.errors import PreflightError
from portside.facts import State
from portside.fleet import connected, everywhere, read_states
from portside.host.base import Host
from portside.journal import Operation
from portside.lock import Claim, locked
from portside.making import Draft
from portside.operators import operator
from portside.plan import Plan, make_plan
from portside.recovery import left_behind
from portside.release import Image, Release
from portside.report import Reporter
from portside.site import Site, operation_id
from portside.surroundings import Surroundings

# What a plan calls the things that a bootstrap changes and a release doesn't.
PROXY_CHANGES = ("proxy", "proxy route")
AGENT = "agent"
RESTARTED = "restart the proxy with its new settings: open connections drop for a moment"


async def add_proxy(plans: dict[str, list[Step]], config: Config, environment: Environment) -> None:
    """Add what the proxy needs: exactly where a host can already be asked, as a promise where it can't."""
    finished = [name for name, steps in plans.items() if not steps]
    plan, stale = None, set[str]()
    if finished:
        async with connected(environment, finished) as hosts:
            states = await read_states(hosts, config.site(environment), full=False)
            plan = proxy_plan(config, environment, hosts, states)
            site = Site(config, environment, list(hosts), {}, states, _Silent())
            stale = await outdated(site)
    for name, steps in plans.items():
        if plan is None or name not in finished:
            steps.append(Step("proxy", "start the proxy, unless it runs as it should"))
            if "observe" in config.model_fields_set:
                steps.append(Step(AGENT, "start the agent that watches it, unless it runs as it should"))
            continue
        if name in stale:
            steps.append(Step(AGENT, "give it the agent that watches it, as it is now"))
        for change in plan.hosts[name]:
            if change.what in PROXY_CHANGES:
                steps.append(Step(change.what, _proxy_words(change.what, change.before, change.after)))


def _proxy_words(what: str, before: str, after: str) -> str:
    if what == "proxy route":
        return "give the proxy its new route, which closes idle keep-alive connections"
    return RESTARTED if before not in ("none", "stopped") else "start the proxy"


def proxy_plan(config: Config, environment: Environment, hosts: Sequence[Host], states: Mapping[str, State]) -> Plan:
    """How the proxies of hosts differ from what this tree says, but for an address that a deploy is yet to move; of its
    changes only PROXY_CHANGES mean anything.
    """
    site = Site(config, environment, list(hosts), {}, dict(states), _Silent())
    desired = _surroundings(config, environment).desired(placeholder(config, environment), site, moves=False)
    return make_plan(desired, states)


async def ensure_proxy(config: Config, environment: Environment, names: Sequence[str], reporter: Reporter) -> None:
    """Start the proxy or give it its new settings, as the deploy user, under the hosts' release lock."""
    claim = Claim(environment.name, operator(), "host-bootstrap", environment.lock_ttl)
    async with connected(environment, names) as hosts:
        await everywhere(hosts, _may_use_docker)
        async with locked(hosts, config.site(environment), claim, full=False) as leases:
            states = {name: lease.state for name, lease in leases.items() if lease.state is not None}
            if left_behind(states):
                raise PreflightError(
                    "an earlier operation is unfinished, so the proxy was left alone",
                    where=environment.name,
                    remedy=f"invoke status --env {environment.name} ends it; then type this again.",
                )
            site = Site(config, environment, hosts, leases, states, reporter)
            operation = Operation(id=operation_id(), kind="maintenance", owner=operator())
            targets = [site.target(host.name, operation) for host in hosts]
            delivery = Delivery(config, environment, reporter, hosts)
            await _surroundings(config, environment).ensure(
                site, targets, placeholder(config, environment), delivery, apply=True
            )
            for note in await refresh(site, targets, apply=True):
                reporter.say(note)


async def _may_use_docker(host: Host) -> None:
    result = await host.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=STEP_SECONDS)
    result.check("the deploy user can't use Docker", remedy="Look at `docker version` there as this user.")


def _surroundings(config: Config, environment: Environment) -> Surroundings:
    """The proxy alone: a bootstrap never touches a database."""
    return Surroundings(config, environment, None)


def placeholder(config: Config, environment: Environment) -> Release:
    """A release with this tree's Compose file and nothing else: what the proxy needs to know of one."""
    data = read_compose(config.root / config.service.compose)
    draft = Draft(config, environment, data, {}, Image(reference="none"), "", operator())
    return draft.release(previous=None, created=datetime.now(UTC))


class _Silent:
    """Nobody is told of a look that changes nothing."""

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...
