"""What each phase does at one host, by the kind of host, and doing it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from portside import steps
from portside.errors import HostError, LockError, ReleaseError
from portside.host.base import Input
from portside.journal import BESIDE_RELEASES, Operation
from portside.markers import Marks
from portside.release import Current, Release
from portside.steps import Step, Target

# What a stop may take beyond the longest grace period that a Compose file sets (default 10 s).
STOP_GRACE = 120


class UnfitError(ReleaseError):
    """A committed release isn't fit to serve alone: what served before was not stopped."""


class Orders(Protocol):
    """What each phase does at one host, as steps: portside/steps.py, or portside/swarm/steps.py."""

    def prepare(self, release: Release, tar: bytes, *, proven: bool) -> Step: ...
    def before_switch(self, release: Release, command: tuple[str, ...], deadline: float) -> Step: ...
    def start(self, target: Target, release: Release, deadline: float) -> Step: ...
    def switch(self, operation: Operation, release: Release, deadline: float) -> Step: ...
    def canary(self, operation: Operation, release: Release, share: float, deadline: float) -> Step: ...
    def bake(self, operation: Operation, release: Release, seconds: float, stdin: Input | None = None) -> Step: ...
    def commit(self, operation: Operation, current: Current, marks: Marks) -> Step: ...
    def retire(
        self, target: Target, release: Release, *, keep_warm: bool, prune: Mapping[str, str | None], grace: float
    ) -> Step: ...
    def withdraw(self, operation: Operation, reason: str, *, grace: float) -> Step | None: ...
    def undo(self, operation: Operation, reason: str, *, grace: float, local: bool = False) -> Step: ...


def orders(operation: Operation) -> Orders:
    """As the operation was begun, whatever the environment says by now."""
    if not operation.swarm:
        return steps
    from portside.swarm import steps as swarm_steps  # noqa: PLC0415 - only a Swarm's releases load it

    return swarm_steps


async def run_step(target: Target, step: Step) -> str:
    """Run one step at one host; what it said. Raises PortsideError with the phase, the host and its last words."""
    result = await target.host.run(step.argv(target), stdin=step.stdin, timeout=step.timeout)
    if result.exit_code == 0:
        return result.text
    words = result.stderr.decode(errors="replace").strip() or result.text
    *before, headline = words.splitlines() or [f"exit code {result.exit_code}"]
    # Of what is done beside releases nothing is undone.
    failed = HostError if target.operation.kind in BESIDE_RELEASES else ReleaseError
    kind = {73: HostError, 74: LockError, 77: UnfitError}.get(result.exit_code, failed)
    raise kind(headline, where=f"{target.host.name}, {step.phase}", why="\n".join(before))
