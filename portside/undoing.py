"""Put hosts back to what they were before an operation, each on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portside.errors import HostError, LockError, PortsideError, ReleaseError
from portside.fleet import settle
from portside.host.local import LocalHost
from portside.orders import STOP_GRACE, orders, run_step
from portside.report import Reporter, timed
from portside.secrets.scrub import scrub
from portside.steps import Step, Target


async def undo_all(
    targets: Sequence[Target], reason: str, reporter: Reporter, *, note: Callable[[str], None]
) -> dict[str, PortsideError]:
    """Undo at every target, each on its own, once more where it failed; the failures by host.

    `note` is told what a host has to say of an undo that succeeded.
    """

    async def withdraw(target: Target) -> None:
        step = orders(target.operation).withdraw(target.operation, scrub(reason), grace=STOP_GRACE)
        if step is not None:
            await _twice(target, step)

    # A host that is gone is the undo's own business.
    failed = by_host(await settle(targets, withdraw))
    stuck = {host: error for host, error in failed.items() if not isinstance(error, HostError)}
    if stuck:
        return stuck

    async def one(target: Target) -> None:
        local = isinstance(target.host, LocalHost)
        step = orders(target.operation).undo(target.operation, scrub(reason), grace=STOP_GRACE, local=local)
        with timed(reporter, target.host.name, "undo"):
            said = await _twice(target, step)
        if said:
            note(f"{target.host.name}: {said}")

    return by_host(await settle(targets, one))


async def _twice(target: Target, step: Step) -> str:
    """Once more where it failed, or another step was still at work. A host that is gone is gone."""
    try:
        return await run_step(target, step)
    except (ReleaseError, LockError):
        return await run_step(target, step)


def by_host(failures: Sequence[tuple[Target, PortsideError]]) -> dict[str, PortsideError]:
    """What failed, as the errors by host."""
    return {target.host.name: error for target, error in failures}
