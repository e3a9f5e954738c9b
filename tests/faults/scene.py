"""What a fault is done to: one case while it happens, on real hosts."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portside.lab.hosts import wait_until_up
from portside.lab.values import LabHost
from portside.release import Slot
from tests.faults.cases import Case
from tests.lab.faults import as_root
from tests.lab.project import Finished, Project

ON_HOST = Path(__file__).with_name("on_host.sh")
DEPLOYER_SECONDS = 240


@dataclass
class Scene:
    """`victim` is where it happens; `slot` is where the new release goes, there and on all other hosts."""

    case: Case
    project: Project
    victim: LabHost
    slot: Slot
    command: Sequence[str]
    registry: str
    deployer: subprocess.Popen[str]
    others: list[subprocess.Popen[str]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def on_victim(self, *arguments: str) -> str:
        return await on_host(self.victim, *arguments)

    @property
    def containers(self) -> str:
        """How the names of the new release's web containers begin."""
        return f"tiny-lab-{self.slot}-web-"

    async def up(self) -> None:
        """Until the victim's sshd and Engine answer."""
        await wait_until_up(self.victim.name)


async def on_host(host: LabHost, *arguments: str) -> str:
    """Run a part of on_host.sh as root; what it says."""
    done = await as_root(host, ["/bin/bash", "-s", "--", *arguments], stdin=ON_HOST.read_bytes())
    return done.check(f"{arguments[0]} on {host.name}").text


async def ended(process: subprocess.Popen[str]) -> Finished:
    """A command's end, waited for in a thread."""
    out, err = await asyncio.to_thread(process.communicate, timeout=DEPLOYER_SECONDS)
    return Finished(process.returncode, out, err)
