"""Ask a host how it is set up against intruders: its files as whoever is logged in may read them, and its sshd."""

from __future__ import annotations

from dataclasses import replace

from portside.bootstrap import STEP_SECONDS
from portside.config import Environment
from portside.diagnosis import Finding
from portside.hardening.findings import Expected, hardening_findings
from portside.hardening.posture import Posture, parse_posture
from portside.hardening.upgrades import reboot_time
from portside.host.base import Host
from portside.host.script import root_argv


async def look(host: Host, user: str, *, sudo: bool, swarm: bool) -> Posture:
    """What it says of itself. `user`: who deploys. `swarm`: it is a Swarm's, or is to be one. Raises HostError."""
    looked = await host.run(root_argv("posture", user, sudo=sudo), timeout=STEP_SECONDS)
    posture = parse_posture(looked.stdout.decode(errors="replace"), host.name)
    return replace(posture, swarm=posture.swarm or swarm)


async def examine(host: Host, environment: Environment) -> tuple[list[Finding], list[str]]:
    """What is wrong with a host of `environment`, as its deploy user sees it; what that user can't know.

    Raises HostError.
    """
    from portside.host.ssh import login_name, offered_methods  # noqa: PLC0415 - only loaded where SSH is used

    user = await login_name(host.name, environment.ssh_config)
    expected = Expected(
        env=environment.name,
        user=user,
        ports=environment.ports,
        peers=tuple(map(str, environment.swarm_networks)),
        reboot=reboot_time(environment.reboot_at, environment.hosts.index(host.name)),
        offered=await offered_methods(
            host.name,
            ssh_config=environment.ssh_config,
            known_hosts=environment.known_hosts,
            deadline=environment.connect_deadline,
        ),
    )
    return hardening_findings(host.name, await look(host, user, sudo=False, swarm=environment.swarm), expected)
