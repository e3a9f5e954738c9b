"""What can happen to a host: each fault is done by this machine's Engine, from outside the host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from portside.command import Result, run_command
from portside.lab.hosts import wait_until_up
from portside.lab.values import Lab, LabHost
from tests.lab.inside import SECONDS, run_inside

PAUSES = 4
CLEAN_HOST = Path(__file__).parent / "clean_host.sh"


async def disconnect(lab: Lab, host: LabHost) -> None:
    """Pull the network cable: nothing is closed, nothing answers."""
    await _docker("network", "disconnect", "--force", lab.network, host.name)


async def reconnect(lab: Lab, host: LabHost) -> None:
    """Put the cable back; the address stays."""
    await _docker("network", "connect", "--ip", host.address, lab.network, host.name)


@asynccontextmanager
async def disconnected(lab: Lab, host: LabHost) -> AsyncIterator[None]:
    await disconnect(lab, host)
    try:
        yield
    finally:
        await reconnect(lab, host)


async def pause(host: LabHost) -> None:
    """Freeze every process: connections stay open and hang."""
    await pause_container(host.name)


async def pause_container(name: str) -> None:
    """As `pause`. Asked again: on a busy machine runc gives up now and then ("unable to freeze")."""
    for _ in range(PAUSES):
        if (await run_command(["docker", "pause", name], timeout=SECONDS)).exit_code == 0:
            return
        await asyncio.sleep(0.2)
    await _docker("pause", name)


async def unpause(host: LabHost) -> None:
    await _docker("unpause", host.name)


@asynccontextmanager
async def paused(host: LabHost) -> AsyncIterator[None]:
    await pause(host)
    try:
        yield
    finally:
        await unpause(host)


async def kill(host: LabHost) -> None:
    """Power cut. `boot` brings the host back."""
    await _docker("kill", host.name)


async def boot(host: LabHost) -> None:
    """Start a host that is off; returns when its sshd and Docker Engine answer."""
    await _docker("start", host.name)
    await wait_until_up(host.name)


async def reboot(host: LabHost) -> None:
    """Orderly shutdown and start; returns when sshd and the Docker Engine answer again."""
    await _docker("restart", host.name)
    await wait_until_up(host.name)


async def as_root(host: LabHost, argv: Sequence[str], *, stdin: bytes | None = None) -> Result:
    """Run a command as the host's root, past ssh. The caller checks the result."""
    return await run_inside(host.name, argv, stdin=stdin)


@dataclass(frozen=True)
class HostState:
    running: bool
    paused: bool
    connected: bool


async def host_state(lab: Lab, host: LabHost) -> HostState:
    networks_of = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
    form = "{{.State.Running}} {{.State.Paused}} " + networks_of
    running, is_paused, *networks = (await _docker("inspect", f"--format={form}", host.name)).text.split()
    return HostState(running == "true", is_paused == "true", lab.network in networks)


async def repair(lab: Lab, host: LabHost) -> None:
    """Undo whatever a test has done to a host, and take away what it left there, except images."""
    state = await host_state(lab, host)
    if state.paused:
        await unpause(host)
    if not state.connected:
        await reconnect(lab, host)
    if not state.running:
        await boot(host)
    elif (await as_root(host, ["lab-host-ready", "0"])).exit_code != 0:
        await reboot(host)
    (await as_root(host, ["bash", "-s"], stdin=CLEAN_HOST.read_bytes())).check()


async def repair_all(lab: Lab, hosts: Sequence[LabHost] = ()) -> None:
    """As `repair`, all at once: `hosts`, or the whole lab."""
    await asyncio.gather(*(repair(lab, host) for host in hosts or lab.hosts))


async def _docker(*arguments: str) -> Result:
    return (await run_command(["docker", *arguments], timeout=SECONDS)).check()
