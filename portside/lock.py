"""The release lock: a lease on every host of an environment, kept alive by the open channel that took it.

The host's own clock decides when a lease ends. Each holder gets a larger fencing token than the one before, and
every step that changes a host shows it, so that a deployer which lost its lease can do nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from portside.errors import HostError, LockError, PortsideError
from portside.facts import DOCTOR, NONSENSE, STATE_DEADLINE, State, asked, parse_holder, parse_state
from portside.fleet import Watched, unwatched
from portside.host.base import Channel, Host
from portside.host.script import script_argv

# What lease.sh ends a host's state with.
END = b"@@end\n"
# With what it ends where a step of a dead deployer's hasn't.
STILL_AT_WORK = 74
KEPT_DEADLINE = 20.0
UNLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class Claim:
    """Who asks for the lock, what for, and for how many seconds it lasts without a heartbeat."""

    env: str
    owner: str
    operation: str
    ttl: int
    message: str = ""
    leave: bool = False

    @property
    def holder(self) -> bytes:
        holder = {"owner": self.owner, "operation": self.operation, "message": self.message}
        return json.dumps(holder).encode() + b"\n"


@dataclass
class Lease:
    """A lock held on one host."""

    host: Host
    token: str
    channel: Channel
    state: State | None = None


@contextlib.asynccontextmanager
async def locked(
    hosts: Sequence[Host], site: str, claim: Claim, *, full: bool | str, watched: Watched = unwatched
) -> AsyncIterator[Mapping[str, Lease]]:
    """Hold the lock of `site` on all `hosts`; yields a lease per host name, with the host's state in it.

    The first host is asked first, so that of two deployers at once exactly one wins. Raises LockError naming the
    holder. `full` adds the facts that a preflight needs, and when it is an image's name, that image's.
    """
    leases: dict[str, Lease] = {}

    async def acquire(host: Host) -> Lease:
        with watched(host.name):
            return await _acquire(host, site, claim, full=full)

    async def read(lease: Lease) -> None:
        with watched(lease.host.name):
            await _read_state(lease)

    try:
        first = await acquire(hosts[0])
        leases[hosts[0].name] = first
        others = [asyncio.create_task(acquire(host)) for host in hosts[1:]]
        reading = [asyncio.create_task(read(first))]
        try:
            for task in others:
                lease = await task
                leases[lease.host.name] = lease
                reading.append(asyncio.create_task(read(lease)))
            await asyncio.gather(*reading)
        finally:
            # A lease taken while another host refused has to be given back as well.
            for result in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(result, Lease):
                    leases[result.host.name] = result
            await _quiet(reading)
        if claim.leave:
            await _leave(list(leases.values()), site)
        beat = asyncio.create_task(_heartbeat(list(leases.values()), claim.ttl / 3))
        try:
            yield {host.name: leases[host.name] for host in hosts}
        finally:
            await _quiet([beat])
    finally:
        await asyncio.gather(*(lease.channel.close() for lease in leases.values()), return_exceptions=True)


async def _acquire(host: Host, site: str, claim: Claim, *, full: bool | str) -> Lease:
    channel = await host.open(
        script_argv(
            "lease",
            site,
            str(claim.ttl),
            "leave" if claim.leave else "hold",
            asked(full),
        )
    )
    try:
        await channel.send(claim.holder)
        answer = (await channel.readline(STATE_DEADLINE)).decode(errors="replace").strip()
        kind, _, rest = answer.partition(" ")
        if kind == "token":
            return Lease(host, rest, channel)
        if kind == "held":
            raise _held(host.name, rest, claim.env)
        result = await channel.close()
        result.check("the release lock can't be taken", remedy=DOCTOR)
        raise LockError("the release lock can't be taken", where=host.name, why=answer)
    except BaseException:
        with contextlib.suppress(PortsideError):
            await channel.close()
        raise


async def _read_state(lease: Lease) -> None:
    text = await lease.channel.read_until(END, STATE_DEADLINE)
    if not text.endswith(END):
        ended = await lease.channel.close()
        remedy = "Try again in a minute." if ended.exit_code == STILL_AT_WORK else DOCTOR
        ended.check("the state of the host can't be read", remedy=remedy)
    lease.state = parse_state(text.decode(errors="replace"), lease.host.name)


async def _leave(leases: Sequence[Lease], site: str) -> None:
    """Let every host keep the lock when we are gone, or none. Raises HostError."""

    async def one(lease: Lease) -> bool:
        await lease.channel.send(b"keep\n")
        return await lease.channel.readline(KEPT_DEADLINE) == b"kept\n"

    kept = await asyncio.gather(*map(one, leases), return_exceptions=True)
    if all(answer is True for answer in kept):
        return
    free = [lease.host.run(script_argv("unlock", site), timeout=UNLOCK_SECONDS) for lease in leases]
    await asyncio.gather(*free, return_exceptions=True)
    lost = [lease.host.name for lease, answer in zip(leases, kept, strict=True) if answer is not True]
    raise HostError("the lock could not be left, and is free again", where=", ".join(lost), remedy="Try it again.")


async def _heartbeat(leases: Sequence[Lease], interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await asyncio.gather(*(lease.channel.send(b"beat\n") for lease in leases), return_exceptions=True)


async def _quiet(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _held(host: str, said: str, env: str) -> LockError:
    """Who holds it, from what lease.sh says of that: the host's time, when the lease ends, the holder as JSON."""
    try:
        first, second, text = said.split(" ", 2)
        now, expires = int(first), int(second)
        holder = parse_holder(expires, text)
        since = datetime.fromtimestamp(holder.since).astimezone()
    except NONSENSE:
        return LockError(
            "the release lock is held, and what the host says of its holder can't be understood",
            where=host,
            why=said[:200],
            remedy=f"Free it: invoke unlock --env {env}",
        )
    return LockError(
        f"{holder.owner} holds the release lock since {since:%H:%M:%S} ({now - holder.since} s): {holder.operation}"
        + (f" – {holder.message}" if holder.message else ""),
        where=host,
        why=f"Without a sign of life it ends by itself in {max(0, expires - now)} s.",
        remedy=f"Wait, or if you know that it is stale: invoke unlock --env {env}",
    )
