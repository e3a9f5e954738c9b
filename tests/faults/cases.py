"""The matrix as values: where in the protocol, what goes wrong, on how many hosts. Generated, never listed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from portside.journal import Phase

At = Literal["begin", "end"]
Expected = Literal["finished", "undone", "either"]

# In the order of the protocol.
PHASES = ("lock", "preflight", *itertools.takewhile(lambda phase: phase != "undo", get_args(Phase)), "announce")
HOSTS = (3, 2)


@dataclass(frozen=True, order=True)
class Moment:
    """A place in the protocol: just before a phase begins at a host, or just before it has ended there."""

    place: int
    at: At

    @property
    def phase(self) -> str:
        return str(PHASES[self.place])

    def __str__(self) -> str:
        return f"{self.phase}:{self.at}"


def moment(phase: str, at: At) -> Moment:
    return Moment(PHASES.index(phase), at)


# The end of announcing is the end of everything.
ENDS: tuple[At, At] = ("begin", "end")
MOMENTS = tuple(
    moment(phase, at) for phase, at in itertools.product(PHASES, ENDS) if (phase, at) != ("announce", "end")
)
# From here on, every host has its commit; before, none has.
COMMITTING = moment("commit", "begin")
COMMITTED = moment("commit", "end")


@dataclass(frozen=True)
class Case:
    """One fault, at one moment, on one of `hosts` hosts."""

    moment: Moment
    fault: str
    hosts: int

    def __str__(self) -> str:
        return f"{self.fault} at {self.moment} of {self.hosts} hosts"


def fewest(cases: Sequence[Case]) -> list[Case]:
    """Of `cases`, one a fault, so spread that every phase, both its ends and every number of hosts have their turn.

    Which is the same on every machine: faults with the least choice choose first, each where the fewest are yet.
    """
    choices = {
        fault: [case for case in cases if case.fault == fault] for fault in dict.fromkeys(c.fault for c in cases)
    }
    used = Counter[object]()
    chosen = []
    for of_fault in sorted(choices.values(), key=len):
        best = min(of_fault, key=lambda case: [used[trait] for trait in _traits(case)])
        used.update(_traits(best))
        chosen.append(best)
    return in_order(chosen)


def _traits(case: Case) -> tuple[object, ...]:
    return (case.moment.phase, case.moment.at, case.hosts)


def shuffled(cases: Sequence[Case], seed: int) -> Iterator[Case]:
    """All cases in an order that `seed` decides, again and again."""
    random = Random(seed)  # noqa: S311 - the same numbers again is what it is for
    while True:
        yield from random.sample(cases, len(cases))


def in_order(cases: Iterable[Case]) -> list[Case]:
    """More hosts first: changing their number takes a release of its own."""
    return sorted(cases, key=lambda case: (-case.hosts, case.moment, case.fault))
