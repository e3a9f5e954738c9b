"""The release protocol where a Swarm runs the containers: what one node does for all, how it ends without a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portside.errors import HostError, PortsideError
from portside.fleet import enough
from portside.host.script import script_argv
from portside.journal import Phase
from portside.markers import Marks
from portside.orders import UnfitError, run_step
from portside.release import Current, Release, Slot
from portside.rollout import Rollout
from portside.steps import GRACE, Target
from portside.swarm import steps
from portside.swarm.values import Values, object_lines

ASK_SECONDS = 30


class SwarmRollout(Rollout):
    """The first target acts. `values` is None for a rollback: its secrets and configs are there since its deploy."""

    def __init__(self, *arguments: Any, values: Values | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._values = values
        self._tasks: dict[str, list[str]] = {}

    @property
    def _once(self) -> Sequence[Target]:
        return self._targets[:1]

    async def _prepare(self) -> None:
        await super()._prepare()
        lines = object_lines(self._values) if self._values else b""
        if not lines:
            return

        async def act(target: Target) -> None:
            argv = script_argv("swarm_objects", target.site, target.token)
            made = await target.host.run(argv, stdin=lines, timeout=60 + GRACE)
            made.check("the Swarm could not be given the release's secrets and configs")

        await self._phase("prepare", act, self._once)

    async def _start(self) -> None:
        deadline, release = self._environment.start_deadline, self._release
        await self._phase("start", lambda target: run_step(target, steps.start(target, release, deadline)), self._once)

        async def gate(target: Target) -> None:
            names = await run_step(target, steps.gate(target.operation, release, deadline))
            self._tasks[target.host.name] = sorted(names.split())

        await self._phase("start", gate)

    async def _switch(self, share: float | None = None) -> None:
        await super()._switch(share)
        if share is None and (self._release.stop_first or self._targets[0].operation.previous_stop_first):
            deadline = self._environment.start_deadline
            await self._phase(
                "switch",
                lambda target: run_step(target, steps.handover(target.operation, self._release, deadline)),
                self._once,
            )

    async def _retire(self) -> None:
        """The node that acts first: it says whether the release can serve alone, which a worker is never told."""
        failures = await self._retire_on(self._once)
        if not any(isinstance(error, UnfitError) for error in failures.values()):
            await self._retire_on(self._targets[1:])

    def _marks(self, target: Target, current: Current) -> Marks:
        return self._told(target, current, self._tasks.get(target.host.name, []))

    async def _addresses(self, target: Target, slot: Slot, previous: Release) -> list[str]:
        """A proxy reaches all tasks of the previous release, not only those of its own node."""
        argv = script_argv("swarm_drain", target.site, slot, previous.id)
        told = await self._targets[0].host.run(argv, timeout=ASK_SECONDS)
        found = told.check("the Swarm doesn't say where the previous release runs").text
        return [f"{address}:{previous.port}" for address in found.split()]

    def _beyond_repair(self, phase: Phase, failures: dict[str, PortsideError]) -> dict[str, PortsideError]:
        """A node that is gone takes nothing with it that the others haven't got: it is brought up to date later."""
        lost = {host: error for host, error in failures.items() if isinstance(error, HostError)}
        left = [target for target in self._targets if target.host.name not in failures]
        if not enough(left, lost.values()):
            return failures
        for host, error in lost.items():
            self._note(
                f"{host} is gone ({phase}), the Swarm goes on without it; the next command that finds it "
                f"again brings it up to date: {error.what}"
            )
        return {host: error for host, error in failures.items() if host not in lost}
