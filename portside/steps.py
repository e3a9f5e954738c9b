"""What each phase does at one host, as values: a script, its arguments, its deadline. Nothing is run here."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from portside.facts import State
from portside.host.base import Host, Input
from portside.host.script import script_argv
from portside.journal import Operation, Phase, line
from portside.markers import Marks, site_labels
from portside.proxy import canary_route
from portside.release import Current, Release, Slot, archive, other

# How long a step may wait for another one's work lock, on top of its own time (lib.sh waits 60 s).
GRACE = 75
NONE = "-"
# A database may take minutes to stop, and says so in its Compose file.
REMOVE_SECONDS = 600


@dataclass(frozen=True)
class Target:
    """One host in one operation: what it was before, and the fencing token that lets us change it."""

    host: Host
    site: str
    token: str
    state: State
    operation: Operation


@dataclass(frozen=True)
class Step:
    """One script to run at one host, written to its journal as `phase`."""

    phase: Phase
    script: str
    arguments: tuple[str, ...]
    timeout: float
    stdin: Input | None = None
    reason: str = ""

    def argv(self, target: Target) -> list[str]:
        begin = line(target.operation, self.phase, "begin", self.reason)
        end = line(target.operation, self.phase, "end", self.reason)
        return script_argv(self.script, target.site, target.token, begin, end, *self.arguments)


def switched_route(operation: Operation) -> str:
    """The new release's slot, and behind it the previous one's for as long as it runs."""
    if operation.previous is None or operation.previous_slot is None:
        return operation.slot
    return f"{operation.slot}>{operation.previous_slot}"


def prepare(release: Release, tar: bytes, *, proven: bool) -> Step:
    """`tar` holds the files of the release's directory; `proven`: Compose knows the same but for the image."""
    arguments = (release.id, release.image.reference, "1" if proven else "0")
    return Step("prepare", "prepare", arguments, 60 + GRACE, stdin=tar)


def limit(seconds: float) -> str:
    """Whole seconds for `timeout`, to which 0 is no limit at all."""
    return str(max(1, math.ceil(seconds)))


def before_switch(release: Release, command: tuple[str, ...], deadline: float) -> Step:
    arguments = (release.id, release.web, limit(deadline), *command)
    return Step("before-switch", "hook", arguments, deadline + GRACE)


def start(target: Target, release: Release, deadline: float) -> Step:
    serving = target.state.serving
    # What stands behind the serving slot is about to be replaced by containers that aren't ready yet.
    interim = serving if serving and ">" in target.state.route else NONE
    arguments = (
        target.operation.slot,
        release.id,
        interim,
        f"{deadline:.0f}",
        str(release.port),
        release.readiness,
        " ".join(misnumbered(target, release)),
        *release.start_first,
    )
    return Step("start", "start", arguments, deadline + GRACE)


def misnumbered(target: Target, release: Release) -> list[str]:
    """The ids of containers in the slot that `release` goes to which would keep its own from being numbered from 1 on.

    By these numbers the proxy and monitoring know web containers (proxy.upstreams). Of more than it needs, Compose
    keeps any, and it gives the next one a number beyond the highest.
    """
    known = [each for each in target.state.containers if each.slot == target.operation.slot]
    found = []
    for role in release.roles:
        numbered = {each.name.rpartition("-")[2]: each.id for each in known if each.service == role.name}
        in_place = itertools.takewhile(numbered.__contains__, map(str, range(1, role.replicas + 1)))
        found += [numbered[number] for number in numbered.keys() - set(in_place)]
    return sorted(found)


def switch(operation: Operation, release: Release, deadline: float) -> Step:
    arguments = (
        switched_route(operation),
        operation.previous_slot or NONE,
        operation.previous or NONE,
        operation.slot,
        release.id,
        f"{deadline:.0f}",
        " ".join(operation.previous_stop_first),
        *release.stop_first,
    )
    return Step("switch", "switch", arguments, deadline + operation.grace + GRACE)


def canary(operation: Operation, release: Release, share: float, deadline: float) -> Step:
    """Some of the traffic to the new release. Stop-first services stay where they are: there is never more than one."""
    route = canary_route(operation.previous_slot or other(operation.slot), operation.slot, share)
    arguments = (route, NONE, NONE, operation.slot, release.id, f"{deadline:.0f}", "")
    return Step("switch", "switch", arguments, deadline + GRACE)


def bake(operation: Operation, release: Release, seconds: float, stdin: Input | None = None) -> Step:
    """A line on `stdin` ends it before its time."""
    arguments = (operation.slot, release.id, f"{seconds:.0f}", "1" if operation.warm else "0")
    return Step("bake", "bake", arguments, seconds + GRACE, stdin=stdin)


def commit(operation: Operation, current: Current, marks: Marks) -> Step:
    arguments = (
        current.model_dump_json(),
        operation.kind,
        operation.id,
        operation.release,
        site_labels(operation),
        marks.targets,
        marks.site,
        marks.release,
    )
    return Step("commit", "commit", arguments, 30 + GRACE)


def address(told: str) -> Step:
    """What is left of a commit where it was recorded, and the site isn't asked where it said; `told`: as marks.site."""
    return Step("commit", "address", (told,), 30 + GRACE)


def retire(target: Target, release: Release, *, keep_warm: bool, prune: Mapping[str, str | None], grace: float) -> Step:
    """Stop what served before `release`, which has to be fit to serve alone by then; unless it stays warm.

    `prune` maps releases to the image to remove with them.
    """
    operation = target.operation
    slot = None if keep_warm else operation.previous_slot
    arguments = (
        NONE if keep_warm else operation.slot,
        _containers(target, operation.previous, slot) if slot else "",
        operation.slot,
        release.id,
        str(release.port),
        release.readiness,
        # The new release has replaced what was in its slot.
        *(
            f"{release}={image or NONE}={_containers(target, release, other(operation.slot))}"
            for release, image in prune.items()
        ),
    )
    return Step("retire", "retire", arguments, operation.grace + grace + GRACE)


def _containers(target: Target, release: str | None, slot: Slot) -> str:
    """The ids that the host's state has of a release in a slot: nobody else adds to them while we hold the lock."""
    known = target.state.containers
    return " ".join(container.id for container in known if (container.release, container.slot) == (release, slot))


def withdraw(operation: Operation, reason: str, *, grace: float) -> None:
    """Nothing: what must not run twice must not on one host, whose undo does one after the other."""
    del operation, reason, grace


def undo(operation: Operation, reason: str, *, grace: float, local: bool = False) -> Step:
    """`local`: on the machine that the image was built on, and may be wanted again."""
    warm = f"warm:{','.join(operation.stop_first)}"
    removed = "leave" if local else "remove"
    treatment = removed if operation.fresh else warm if operation.warm else "keep"
    arguments = (
        operation.route or "none",
        operation.previous_slot or NONE,
        operation.previous or NONE,
        operation.slot,
        operation.release,
        treatment,
        operation.id,
        site_labels(operation),
        *operation.previous_stop_first,
    )
    return Step("undo", "undo", arguments, operation.grace + grace + GRACE, reason=reason)


def maintenance(on: bool) -> Step:
    return Step("maintenance", "maintenance", ("on" if on else "off",), 10 + GRACE)


def accessories(files: Mapping[str, str], fingerprint: str, deadline: float, *, swarm: bool = False) -> Step:
    arguments = (fingerprint, limit(deadline), "swarm" if swarm else "local")
    return Step("accessories", "accessories", arguments, deadline + GRACE, stdin=archive(files))


def remove(releases: Mapping[str, Release], *, images: bool, volumes: bool) -> Step:
    """`releases` are all that the host has; with `images` theirs go as well, with `volumes` the data of accessories."""
    arguments = (f"{release.id}={release.image.reference}" for release in releases.values() if images)
    return Step("remove", "remove", ("remove" if volumes else "keep", *arguments), REMOVE_SECONDS + GRACE)


def operation_for(state: State, release: Release, *, kind: str, identity: str, owner: str, fresh: bool) -> Operation:
    """What releasing `release` means at a host in `state`: which slot it goes to, and what an undo restores."""
    previous = state.serves
    serving: Slot | None = state.serving if previous else None
    warm_slot = next(
        (
            container.slot
            for container in state.containers
            if container.release == release.id and container.running and container.service == release.web
        ),
        None,
    )
    warm = warm_slot is not None and warm_slot != serving and _all_running(state, release, warm_slot)
    slot = warm_slot if warm else other(serving)
    known = state.releases.get(previous) if previous else None
    before = (
        {role.name for role in known.roles if role.replicas}
        if known
        else {container.service for container in state.containers if container.release == previous}
    )
    # A role may be new, gone, renamed, or have been of another kind.
    one_at_a_time = dict.fromkeys((*release.stop_first, *(known.stop_first if known else ())))
    return Operation(
        id=identity,
        kind=kind,
        owner=owner,
        release=release.id,
        slot=slot,
        previous=previous,
        previous_slot=serving,
        route=state.route if warm else (serving or ""),
        stop_first=release.stop_first,
        previous_stop_first=tuple(name for name in one_at_a_time if name in before),
        grace=max(release.grace, known.grace if known else 0),
        warm=warm,
        fresh=fresh,
        service=release.service,
        env=release.env,
        commit=release.commit,
    )


def _all_running(state: State, release: Release, slot: str) -> bool:
    running = [
        container.service
        for container in state.containers
        if container.release == release.id and container.slot == slot and container.running
    ]
    return all(running.count(role.name) == role.replicas for role in release.roles if not role.stop_first)


def shown(step: Step) -> str:
    """The step for a person: script and arguments, without the journal lines."""
    return shlex.join([step.script, *step.arguments])
