"""What each phase does at one node of a Swarm, as values like those of portside/steps.py. Nothing is run here.

Traffic moves as everywhere: a file on each node that its proxy reads. What concerns the whole Swarm is done by the node
whose operation says that it acts; an undo, which has to work without that one, by every manager.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from portside import steps
from portside.host.base import Input
from portside.journal import Operation
from portside.markers import site_labels
from portside.release import Release, Role
from portside.steps import GRACE, NONE, Step, Target

canary, commit = steps.canary, steps.commit
# A Swarm that has just lost a node is starting elsewhere what ran there.
FIT_SECONDS = 30.0


def prepare(release: Release, tar: bytes, *, proven: bool) -> Step:
    """`proven` spares a Compose host a check; to read a stack costs less than to know that it needn't be read."""
    del proven
    return Step("prepare", "swarm_prepare", (release.id, release.image.reference), 60 + GRACE, stdin=tar)


def before_switch(release: Release, command: tuple[str, ...], deadline: float) -> Step:
    """`command` is in the release's hook.yaml already."""
    del command
    return Step("before-switch", "swarm_hook", (release.id, steps.limit(deadline)), deadline + GRACE)


def start(target: Target, release: Release, deadline: float) -> Step:
    arguments = (target.operation.slot, release.id, f"{deadline:.0f}", *_counts(_starting_first(release)))
    return Step("start", "swarm_start", arguments, deadline + GRACE)


def gate(operation: Operation, release: Release, deadline: float) -> Step:
    """Once it has started: what this node has of it. Says the names of its web containers here."""
    arguments = (
        operation.slot,
        release.id,
        f"{deadline:.0f}",
        str(release.port),
        release.readiness,
        release.web,
    )
    return Step("start", "swarm_gate", arguments, deadline + GRACE)


def switch(operation: Operation, release: Release, deadline: float) -> Step:
    """Traffic alone: no service is handed over by a node for itself."""
    arguments = (
        steps.switched_route(operation),
        NONE,
        NONE,
        operation.slot,
        release.id,
        f"{deadline:.0f}",
        "",
    )
    return Step("switch", "switch", arguments, deadline + GRACE)


def handover(operation: Operation, release: Release, deadline: float) -> Step:
    """Stop-first services, when traffic has moved on every node."""
    arguments = (
        operation.previous_slot or NONE,
        operation.previous or NONE,
        operation.slot,
        release.id,
        f"{deadline + operation.grace:.0f}",
        " ".join(_names(operation.previous_stop_first)),
        *_counts(role for role in release.roles if role.name in release.stop_first),
    )
    return Step("switch", "swarm_switch", arguments, deadline + operation.grace + GRACE)


def bake(operation: Operation, release: Release, seconds: float, stdin: Input | None = None) -> Step:
    arguments = (operation.swarm, operation.slot, release.id, f"{seconds:.0f}")
    return Step("bake", "swarm_bake", arguments, seconds + GRACE, stdin=stdin)


def retire(target: Target, release: Release, *, keep_warm: bool, prune: Mapping[str, str | None], grace: float) -> Step:
    """Scale what served before to nothing, if all of `release` runs by then."""
    operation = target.operation
    stops = not keep_warm and operation.previous_slot is not None and operation.previous is not None
    arguments = (
        operation.swarm,
        NONE if keep_warm else operation.slot,
        (operation.previous_slot or NONE) if stops else NONE,
        (operation.previous or NONE) if stops else NONE,
        operation.slot,
        release.id,
        f"{FIT_SECONDS:.0f}",
        " ".join(_counts(release.roles)),
        *(f"{release}={image or NONE}" for release, image in prune.items()),
    )
    return Step("retire", "swarm_retire", arguments, operation.grace + grace + FIT_SECONDS + GRACE)


def withdraw(operation: Operation, reason: str, *, grace: float) -> Step | None:
    """What has to have ended on every node before an undo brings its predecessor back on any."""
    if not operation.previous_stop_first:
        return None
    arguments = (
        operation.route or "none",
        operation.previous_slot or NONE,
        operation.previous or NONE,
        operation.slot,
        operation.release,
        operation.id,
        f"{operation.grace + grace:.0f}",
        *dict.fromkeys((*_names(operation.previous_stop_first), *operation.stop_first)),
    )
    return Step("undo", "swarm_withdraw", arguments, operation.grace + grace + GRACE, reason=reason)


def undo(operation: Operation, reason: str, *, grace: float, local: bool = False) -> Step:
    del local
    arguments = (
        operation.route or "none",
        operation.previous_slot or NONE,
        operation.previous or NONE,
        operation.slot,
        operation.release,
        "remove" if operation.fresh else "keep",
        operation.id,
        site_labels(operation),
        *operation.previous_stop_first,
    )
    return Step("undo", "swarm_undo", arguments, operation.grace + grace + GRACE, reason=reason)


def operation_in_swarm(operation: Operation, previous: Release | None, *, acts: bool) -> Operation:
    """The operation of a Compose host as a node's. Whether a release is warm, no node can say by itself; what an undo
    brings back, it brings back for all nodes, hence the numbers."""
    handed = tuple(role for role in previous.roles if role.name in operation.previous_stop_first) if previous else ()
    return operation.model_copy(
        update={
            "swarm": "acts" if acts else "follows",
            "warm": False,
            "route": operation.previous_slot or "",
            "previous_stop_first": _counts(handed),
        }
    )


def _starting_first(release: Release) -> Iterable[Role]:
    return (role for role in release.roles if not role.stop_first)


def _names(counts: Iterable[str]) -> list[str]:
    return [named.partition("=")[0] for named in counts]


def _counts(roles: Iterable[Role]) -> tuple[str, ...]:
    return tuple(f"{role.name}={role.replicas}" for role in roles)
