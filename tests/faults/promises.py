"""The five invariants of the design, judged in one place: facts of a case in, what is broken out. Asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portside.journal import parse_journal
from tests.faults.cases import Expected
from tests.faults.traffic import Count
from tests.model.replay import Left, follow

# Two of web, one of worker (tests/lab/tiny/compose/app.yaml).
CONTAINERS = 3
WORLDS = 200_000


@dataclass(frozen=True)
class HostFacts:
    """A host after the next command: what it serves, what it says of itself, what its journal has of this case.

    `answers` are the releases that answered several requests. `damaged` counts journal lines that nobody can read.
    """

    answers: frozenset[str]
    current: str
    operation: str
    moved: bool
    route: str
    running: tuple[tuple[str, str], ...]
    watched: str
    locked: bool
    journal: tuple[str, ...]
    leaks: str


@dataclass(frozen=True)
class Facts:
    """A case after the next command. `before` and `expected` are what served before, and how it was to end."""

    before: str
    expected: Expected
    hosts: Mapping[str, HostFacts]
    counts: Mapping[str, Count]
    failures: tuple[str, ...]
    said: tuple[str, ...]
    canary: str
    recovered_again: str


def broken(facts: Facts) -> list[str]:
    """Every promise that isn't kept, numbered as in the design."""
    return [
        *_one_release(facts),
        *_no_request_lost(facts),
        *(f"3: {name} is still locked" for name, host in facts.hosts.items() if host.locked),
        *_disk_is_enough(facts),
        *_no_secret_seen(facts),
        *_ended_as_expected(facts),
    ]


def unsettled(hosts: Mapping[str, HostFacts]) -> list[str]:
    """What invariant 1 asks of hosts, without the rest: a host that has just come back takes seconds to get there."""
    releases = {host.current for host in hosts.values()}
    found = [] if len(releases) == 1 else [f"1: hosts have committed different releases: {sorted(releases)}"]
    for name, host in hosts.items():
        slot = host.route if host.route in ("blue", "green") else ""
        if not slot:
            found.append(f"1: the route of {name} is {host.route!r}, not one slot")
        if host.answers != {host.current}:
            found.append(f"1: {name} has committed {host.current}, and {sorted(host.answers)} answers")
        owners = [release for _, release in host.running]
        if owners != [host.current] * CONTAINERS:
            found.append(f"1: on {name} runs {host.running}, committed is {host.current}")
        if host.watched != host.current:
            found.append(f"1: monitoring of {name} is told of {host.watched}, committed is {host.current}")
    return found


def _one_release(facts: Facts) -> list[str]:
    return unsettled(facts.hosts)


def _no_request_lost(facts: Facts) -> list[str]:
    lost = {kind: count.failed for kind, count in facts.counts.items() if count.failed}
    return [f"2: requests failed: {lost}", *(f"2: {failure}" for failure in facts.failures[:8])] if lost else []


def _disk_is_enough(facts: Facts) -> list[str]:
    """What hosts wrote down is readable, leaves nothing to do, and is what the protocol's model could have written."""
    found = [f"4: recovered twice: {facts.recovered_again}"] if facts.recovered_again else []
    journals = {name: parse_journal(host.journal) for name, host in facts.hosts.items()}
    for name, host in facts.hosts.items():
        damaged = len(host.journal) - len(journals[name])
        if damaged > 1:
            found.append(f"4: {damaged} lines of the journal of {name} can't be read")
    left = {
        name: Left(None if host.current == facts.before else host.operation, host.moved)
        for name, host in facts.hosts.items()
    }
    followed = follow(journals, left, limit=WORLDS)
    return [*found, f"4: {followed.problem}"] if followed.problem else found


def _no_secret_seen(facts: Facts) -> list[str]:
    found = [f"5: a command says a secret: {text[:80]}" for text in facts.said if facts.canary in text]
    return found + [f"5: a secret is seen on {name}: {host.leaks}" for name, host in facts.hosts.items() if host.leaks]


def _ended_as_expected(facts: Facts) -> list[str]:
    if facts.expected == "either":
        return []
    ended = "undone" if {host.current for host in facts.hosts.values()} == {facts.before} else "finished"
    return [] if ended == facts.expected else [f"it was {ended}, and should have been {facts.expected}"]
