"""The ground of the matrix: a lab whose hosts have small disks of their own, a registry, a project that ships."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from portside.lab.hosts import wait_until_up
from portside.lab.values import Lab, LabHost
from portside.release import Slot
from tests.faults.cases import Moment
from tests.faults.scene import on_host
from tests.lab.faults import as_root, reboot, repair_all
from tests.lab.holds import free, holding, is_held
from tests.lab.inbox import Inbox
from tests.lab.project import Project, new_project, ships_in_all_phases, wait_until
from tests.lab.servers import Registry

FORWARD = "/etc/lab-host.forward"
BOOT = "/etc/lab-host.boot"
# Before the first phase an image may have to be pushed.
HELD_SECONDS = 150.0
# What the service is given as a secret, and what nobody else may ever see.
SECRET = "CANARY"


@dataclass(frozen=True)
class Standing:
    """A host between two releases: what serves, from which slot, and how long its journal is."""

    release: str
    slot: Slot
    lines: int


@dataclass
class Ground:
    project: Project
    registry: Registry
    inbox: Inbox
    hosts: tuple[LabHost, ...]
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")
    released: int = 0

    @property
    def registry_container(self) -> str:
        return f"{self.project.lab.name}-registry"

    def command(self, *, pulls: bool) -> tuple[str, ...]:
        """The next release: another image than before, which a host lacks where it is to be pulled."""
        self.released += 1
        version = f"pulled {secrets.token_hex(4)}" if pulls else str(self.released % 2)
        self.project.environment["registry"] = f"{self.registry.address}/faults/tiny" if pulls else "none"
        self.project.environment["env"] = {"GREETING": f"release {self.released}"}
        return ("deploy", "--env", "lab", "--json", "--image", self.project.image(version))

    async def stand(self, hosts: int) -> dict[str, Standing]:
        """Every one of the first `hosts` hosts serves the same release, from the same slot; a new one if need be."""
        chosen = self.hosts[:hosts]
        changed, self.project.hosts = self.project.hosts != chosen, chosen
        standing = {} if changed else await self._standing()
        if len({(each.release, each.slot) for each in standing.values()}) != 1:
            command = self.command(pulls=False)
            await asyncio.to_thread(self.project.invoke, *command)
            standing = await self._standing()
        return standing

    async def clean(self) -> None:
        """After a case that went wrong: nothing of it is left."""
        for host in self.hosts:
            # The disk first: nothing starts without room.
            with contextlib.suppress(Exception):
                await on_host(host, "empty-disk")
                await on_host(host, "empty-engine-disk")
                await on_host(host, "clock-right")
        await repair_all(self.project.lab)
        self.project.hosts = ()

    @contextlib.asynccontextmanager
    async def holding(self, host: LabHost, when: Moment) -> AsyncIterator[None]:
        """Inside, a release stops at `when`; `reached` tells when it got there."""
        if when.phase == "announce":
            self.inbox.answers.clear()
            try:
                yield
            finally:
                self.inbox.answers.set()
            return
        async with holding(self.project, host, when.phase, when.at):
            yield

    async def reached(self, host: LabHost, when: Moment, told: int, deployer: subprocess.Popen[str]) -> None:
        """`told`: how many messages had come before. Raises AssertionError when the deployer ends before."""

        def there() -> bool:
            if deployer.poll() is not None:
                raise AssertionError(f"it ended with {deployer.poll()} before {when}: {deployer.communicate()}")
            return len(self.inbox.came) > told if when.phase == "announce" else is_held(self.project, host)

        await asyncio.to_thread(wait_until, there, seconds=HELD_SECONDS, what=f"{when} to be reached")

    async def go_on(self, host: LabHost) -> None:
        self.inbox.answers.set()
        await asyncio.to_thread(free, self.project, host)

    async def _standing(self) -> dict[str, Standing]:
        async def one(host: LabHost) -> Standing | None:
            site = self.project.site("")
            said = await as_root(host, ["cat", f"{site}current.json"])
            if said.exit_code != 0:
                return None
            current = json.loads(said.text)
            journal = await as_root(host, ["cat", f"{site}journal.jsonl"])
            return Standing(current["release"], current["slot"], len(journal.text.splitlines()))

        found = await asyncio.gather(*(one(host) for host in self.project.hosts))
        if None in found:
            return {}
        return {host.name: each for host, each in zip(self.project.hosts, found, strict=True) if each}


async def prepared(lab: Lab, registry: Registry, root: Path) -> Ground:
    """Ready for cases on `lab`, whose hosts are cleaned and given disks of their own; until `left`."""
    await repair_all(lab)
    await asyncio.gather(*(_small_disks(host) for host in lab.hosts))
    project = new_project(root, lab, (), {})
    ships_in_all_phases(project)
    compose = root / "compose/app.yaml"
    limited = compose.read_text().replace("{ replicas: 2 }", "{ replicas: 2, resources: { limits: { memory: 96M } } }")
    compose.write_text(limited)
    project.environment |= {"lock_ttl": 10, "keep": 2, "bake": 2, "secrets": {SECRET: f"env:{SECRET}"}}
    project.notify = {"somebody": {"kind": "webhook", "secret": "env:NOTIFY", "events": ["released"]}}
    made = Ground(project, registry, Inbox(), lab.hosts)
    project.variables = {SECRET: made.canary, "NOTIFY": made.inbox.address}
    return made


async def left(made: Ground) -> None:
    """The hosts are as other tests know them."""
    made.inbox.close()
    await repair_all(made.project.lab)
    await asyncio.gather(*(_usual_disks(host) for host in made.hosts))


async def _small_disks(host: LabHost) -> None:
    (await as_root(host, ["mv", "--no-clobber", BOOT, FORWARD])).check()
    await on_host(host, "small-disks")
    await reboot(host)


async def _usual_disks(host: LabHost) -> None:
    """As other tests know it; only the registry's forwarding stays."""
    (await as_root(host, ["mv", "--force", FORWARD, BOOT])).check()
    await reboot(host)
    await wait_until_up(host.name)
