"""All hosts of an environment at once: connect, run a step everywhere, fail as one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from portside.config import FILE, Environment
from portside.errors import ConfigError, HostError, PortsideError
from portside.facts import DOCTOR, STATE_DEADLINE, State, asked, parse_state
from portside.host.base import Host
from portside.host.local import LocalHost
from portside.host.script import script_argv

T = TypeVar("T")
R = TypeVar("R")

# Entered with a host's name while that host is waited for, so that somebody can be told.
Watched = Callable[[str], contextlib.AbstractContextManager[None]]


def unwatched(host: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def insist_linux(environment: Environment) -> None:
    """This machine is a host like any other: its steps take Linux' own tools. Raises ConfigError."""
    if (system := platform.system()) != "Linux":
        raise ConfigError(
            f"{system} can't be released to: a host is a Linux machine",
            where=f"{FILE}: env.{environment.name}.hosts",
            remedy="Name a host there that is reached over SSH, or type this in a virtual machine with Linux.",
        )


async def ready_to_connect(environment: Environment) -> None:
    """Load what connecting takes, in a thread: most of what a command waits for beside it is other programs."""
    if not environment.local:
        await asyncio.to_thread(importlib.import_module, "portside.host.ssh")


@contextlib.asynccontextmanager
async def reached(
    environment: Environment, names: Sequence[str] | None = None, *, watched: Watched = unwatched
) -> AsyncIterator[tuple[list[Host], dict[str, BaseException]]]:
    """Connections to `names` (all hosts of the environment when None), and the errors of those that failed, by name."""
    if environment.local:
        insist_linux(environment)
        yield [LocalHost()], {}
        return
    from portside.host.ssh import connect  # noqa: PLC0415 - asyncssh is only loaded where SSH is used

    async def one(name: str) -> Host:
        with watched(name):
            return await connect(
                name,
                ssh_config=environment.ssh_config,
                known_hosts=environment.known_hosts,
                deadline=environment.connect_deadline,
            )

    wanted = environment.hosts if names is None else names
    results = await asyncio.gather(*map(one, wanted), return_exceptions=True)
    hosts: list[Host] = [result for result in results if not isinstance(result, BaseException)]
    failures = {name: result for name, result in zip(wanted, results, strict=True) if isinstance(result, BaseException)}
    try:
        yield hosts, failures
    finally:
        await asyncio.gather(*(host.close() for host in hosts), return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(
    environment: Environment, names: Sequence[str] | None = None, *, watched: Watched = unwatched
) -> AsyncIterator[list[Host]]:
    """As `reached`, but every host must be there. Raises HostError that names each which isn't.

    Of a Swarm's, most must: it goes on without a node, and two commands that each have most of them meet at one.
    """
    async with reached(environment, names, watched=watched) as (hosts, failures):
        if failures and not (environment.swarm and names is None and enough(hosts, failures.values())):
            raise together(list(failures.values()))
        yield hosts


def enough(left: Sequence[object], failures: Iterable[BaseException]) -> bool:
    """Whether a Swarm's hosts that are left are most of them, and nothing else is wrong with the others."""
    lost = list(failures)
    return len(left) > len(lost) and all(isinstance(error, HostError) for error in lost)


async def everywhere(items: Iterable[T], act: Callable[[T], Awaitable[R]], *, at_once: int | None = None) -> list[R]:
    """`act` on all items at once, or on no more than `at_once` at any time, the next when one has ended.

    The first failure cancels the rest and is raised, once all have ended; what had not had its turn has none.
    """
    begin = _in_turns(act, at_once) if at_once else act
    tasks = [asyncio.ensure_future(begin(item)) for item in items]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failures = [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
    if failures:
        raise together(failures)
    return [task.result() for task in tasks]


def _in_turns(act: Callable[[T], Awaitable[R]], at_once: int) -> Callable[[T], Awaitable[R]]:
    """`act`, at no more than `at_once` at any time, and at none any more once one has failed."""
    turns, failed = asyncio.Semaphore(at_once), False

    async def in_turn(item: T) -> R:
        nonlocal failed
        async with turns:
            if failed:  # the turn comes sooner than the cancellation
                raise asyncio.CancelledError
            try:
                return await act(item)
            except BaseException:
                failed = True
                raise

    return in_turn


async def settle(items: Iterable[T], act: Callable[[T], Awaitable[object]]) -> list[tuple[T, PortsideError]]:
    """`act` on all items at once, each to its end whatever the others do, even when we are cancelled meanwhile.

    Returns those that failed. A cancellation is raised again once all have ended.
    """
    chosen = list(items)
    running = asyncio.gather(*(act(item) for item in chosen), return_exceptions=True)
    cancelled = False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
    results = running.result()
    unexpected = [
        error for error in results if isinstance(error, BaseException) and not isinstance(error, PortsideError)
    ]
    if unexpected:
        raise unexpected[0]
    if cancelled:
        raise asyncio.CancelledError
    return [(item, result) for item, result in zip(chosen, results, strict=True) if isinstance(result, PortsideError)]


def together(failures: Sequence[BaseException]) -> BaseException:
    """One error for several: itself when alone, else one of the first's kind that shows them all."""
    unexpected = next((error for error in failures if not isinstance(error, PortsideError)), None)
    if unexpected is not None or len(failures) == 1:
        return unexpected or failures[0]
    first = failures[0]
    kind = type(first) if isinstance(first, PortsideError) else HostError
    return kind(f"{len(failures)} hosts failed", why="\n\n".join(str(error) for error in failures))


async def read_states(hosts: Sequence[Host], site: str, *, full: bool | str) -> dict[str, State]:
    """The state of a site on each host, without its lock."""

    async def read(host: Host) -> State:
        result = await host.run(script_argv("state", site, asked(full)), timeout=STATE_DEADLINE)
        result.check("the state of the host can't be read", remedy=DOCTOR)
        return parse_state(result.stdout.decode(errors="replace"), host.name)

    return dict(zip((host.name for host in hosts), await everywhere(hosts, read), strict=True))
