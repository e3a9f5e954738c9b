"""One environment, opened: hosts connected, lock held, crash of an earlier deployer cleaned up."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portside.config import Config, Environment
from portside.errors import ConfigError, HostError
from portside.facts import State
from portside.fleet import connected, read_states
from portside.host.base import Host
from portside.journal import Operation
from portside.lock import Claim, Lease, locked
from portside.notices import Notices
from portside.operators import operator
from portside.outcome import Outcome
from portside.recovery import Recovered, recover
from portside.report import Reporter, timed
from portside.steps import Target


@dataclass
class Site:
    """One environment under its lock: connected hosts, leases, and what each host is."""

    config: Config
    environment: Environment
    hosts: list[Host]
    leases: Mapping[str, Lease]
    states: dict[str, State]
    reporter: Reporter
    recovered: Recovered = field(default_factory=Recovered)
    # None where nothing is released.
    notices: Notices | None = None
    # None until there are phases to go through.
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        return self.config.site(self.environment)

    def target(self, host: str, operation: Operation) -> Target:
        lease = self.leases[host]
        return Target(lease.host, self.name, lease.token, self.states[host], operation)

    def chosen(self, only: str | None) -> list[str]:
        """The host names that a `--host` filter leaves; all without one.

        Raises ConfigError where there is no such host, HostError where it is one that a Swarm goes on without.
        """
        there = [host.name for host in self.hosts]
        if only is None:
            return there
        names = self.environment.hosts or there
        found = [name for name in names if only in (name, name.rpartition("@")[2])]
        if not found:
            raise ConfigError(
                f"no host {only!r} in {self.environment.name}",
                where="--host",
                remedy=f"It has: {', '.join(names)}.",
            )
        if lost := [name for name in found if name not in there]:
            raise HostError("can't be reached", where=lost[0], remedy="Type this again when it is back.")
        return found


@contextlib.asynccontextmanager
async def opened(
    config: Config, environment: Environment, reporter: Reporter, *, operation: str, full: bool | str
) -> AsyncIterator[Site]:
    """Connect, take the lock on all hosts, and clean up after a deployer that died."""
    site = config.site(environment)
    claim = Claim(environment.name, operator(), operation, environment.lock_ttl)
    async with (
        Notices(config, environment, reporter) as notices,
        connected(environment, watched=lambda host: timed(reporter, host, "connect")) as hosts,
        locked(hosts, site, claim, full=full, watched=lambda host: timed(reporter, host, "lock")) as leases,
    ):
        for lost in sorted(set(environment.hosts) - {host.name for host in hosts}):
            reporter.say(f"{lost} can't be reached: the Swarm goes on without it, and brings it up to date later.")
        states = {name: lease.state for name, lease in leases.items() if lease.state is not None}
        recovered = await recover(
            leases, states, site, config=config, environment=environment, reporter=reporter, notices=notices
        )
        if recovered.text:
            reporter.say(f"Found {recovered.text}.")
            states = await read_states(hosts, site, full=full)
        yield Site(config, environment, hosts, leases, states, reporter, recovered, notices)


def operation_id() -> str:
    """Sorts by time; the tail tells two of the same second apart."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
