"""The journals that a real release left on its hosts, followed through the model: could it have written them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from portside.journal import Entry
from portside.release import Slot, other
from tests.model.protocol import FIRST, Container, Deployer, Rules, World, beginning, steps

RULES = Rules(scripts_die=True, gives_up=True)
# What the model has no phase for: it changes nothing that a release could half-happen by.
UNKNOWN = ("before-switch", "bake")
# What a story needs to begin with only where nothing else explains it.
RARE = ("dies", "lease of", "fails", "failed", "turned away", "kept out", "gives up")

Told = tuple[int, str, Literal["begin", "end"]]


@dataclass(frozen=True)
class Left:
    """What a host is left with in the end: the operation that its release is from (None: the one before), its slot."""

    operation: str | None
    moved: bool


@dataclass(frozen=True)
class Followed:
    """`problem` is "" when there is a story; `looked_at` counts the worlds it took to find it."""

    problem: str
    looked_at: int


def follow(journals: Mapping[str, Sequence[Entry]], left: Mapping[str, Left], *, limit: int) -> Followed:
    """Look for a story of the model whose hosts write these lines (by host name) and end as `left` says.

    `journals` begin where one release serves everywhere.
    """
    operations = list(dict.fromkeys(entry.operation.id for entries in journals.values() for entry in entries))
    operations.sort()
    told = [_told(entries, operations) for entries in journals.values()]
    wanted = [(operations.index(each.operation) + 1 if each.operation else FIRST, each.moved) for each in left.values()]
    deployers = [Deployer(deploys=True, may_die=True) for _ in operations]
    world = beginning(len(told), *deployers, Deployer(deploys=False, may_die=False))
    begun = (world, (0,) * len(told))
    seen = {begun}
    ahead = [begun]
    furthest = begun[1]
    while ahead:
        world, places = ahead.pop()
        if sum(places) > sum(furthest):
            furthest = places
        if _is_end(world, places, told, wanted):
            return Followed("", len(seen))
        for reached in _likely_last(world, places, told):
            if reached not in seen:
                seen.add(reached)
                ahead.append(reached)
        if len(seen) > limit:
            return Followed(f"no story found among {limit} worlds, {_stuck(told, furthest)}", len(seen))
    return Followed(f"no story of the model has these journals, {_stuck(told, furthest)}", len(seen))


def _told(entries: Sequence[Entry], operations: Sequence[str]) -> list[Told]:
    lines: list[Told] = [
        (operations.index(entry.operation.id) + 1, entry.phase, entry.event)
        for entry in entries
        if entry.phase not in UNKNOWN
    ]
    # A step that was repeated at once writes the same line again.
    return [line for line, _ in groupby(lines)]


def _likely_last(
    world: World, places: tuple[int, ...], told: Sequence[Sequence[Told]]
) -> Iterator[tuple[World, tuple[int, ...]]]:
    """What may come next and agrees with the journals: what is looked at first comes last."""
    ranked = []
    for name, reached in steps(world, RULES):
        after = _places(world, reached, places, told)
        if after is not None:
            ranked.append((any(word in name for word in RARE), after == places, reached, after))
    ranked.sort(key=lambda each: each[:2], reverse=True)
    for _, _, reached, after in ranked:
        yield reached, after


def _places(
    before: World, after: World, places: tuple[int, ...], told: Sequence[Sequence[Told]]
) -> tuple[int, ...] | None:
    """How far each journal is told; None when a host writes another line than its next one."""
    moved = list(places)
    for index, (old, new) in enumerate(zip(before.hosts, after.hosts, strict=True)):
        if new.last is None or new.last == old.last:
            continue
        line = (new.last.operation.id, new.last.phase, new.last.event)
        if places[index] >= len(told[index]) or told[index][places[index]] != line:
            return None
        moved[index] += 1
    return tuple(moved)


def _is_end(
    world: World, places: tuple[int, ...], told: Sequence[Sequence[Told]], wanted: Sequence[tuple[int, bool]]
) -> bool:
    if any(place < len(lines) for place, lines in zip(places, told, strict=True)):
        return False
    if any(deployer.doing is not None for deployer in world.deployers):
        return False
    beginning_slot: Slot = "blue"
    for host, (release, moved) in zip(world.hosts, wanted, strict=True):
        slot = other(beginning_slot) if moved else beginning_slot
        if host.current != release or host.route[0] != slot or host.slot(slot) != Container(release, True):
            return False
        if host.working or host.waiting:
            return False
    return True


def _stuck(told: Sequence[Sequence[Told]], places: Sequence[int]) -> str:
    where = [
        f"host {index} after {place} of {len(lines)} lines"
        + (f", before {lines[place][1]} {lines[place][2]} of operation {lines[place][0]}" if place < len(lines) else "")
        for index, (lines, place) in enumerate(zip(told, places, strict=True))
    ]
    return "stuck: " + "; ".join(where)
