"""The release protocol as a model: hosts, deployers, and every step that either can take next.

What is modelled is what decides whether a release can half-happen: leases with fencing tokens, the work lock, scripts
that go on after their deployer has died, journals, routes, slots. What to finish and what to undo isn't modelled: that
is the engine's own `portside.journal.unfinished`. What isn't here: images, hooks, the death of a host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Literal, NamedTuple, get_args

from portside import journal
from portside.journal import Entry, Phase
from portside.release import Slot, other

# The release that serves at the beginning, and the operation that released it.
FIRST = 0
SLOTS: tuple[Slot, Slot] = get_args(Slot)


class Operation(NamedTuple):
    """What a journal line says of a deploy at one host. `id` is also its release's."""

    id: int
    slot: Slot
    previous: int
    previous_slot: Slot
    route: tuple[Slot, ...]


class Line(NamedTuple):
    """A journal line."""

    operation: Operation
    phase: Phase
    event: Literal["begin", "end"]


class Call(NamedTuple):
    """A script at one host: whose it is, what it does, how many of its actions are done. -1: it waits for its turn."""

    deployer: int
    token: int
    operation: Operation
    phase: Phase
    done: int = -1


class Container(NamedTuple):
    release: int
    running: bool


class Host(NamedTuple):
    current: int = FIRST
    route: tuple[Slot, ...] = ("blue",)
    blue: Container | None = Container(FIRST, True)
    green: Container | None = None
    releases: frozenset[int] = frozenset({FIRST})
    last: Line | None = None
    recorded: frozenset[int] = frozenset({FIRST})
    token: int = 0
    holder: int | None = None
    undone: int | None = None
    working: Call | None = None
    waiting: frozenset[Call] = frozenset()

    def slot(self, slot: Slot) -> Container | None:
        return self.blue if slot == "blue" else self.green

    def with_slot(self, slot: Slot, container: Container | None) -> Host:
        return self._replace(blue=container) if slot == "blue" else self._replace(green=container)

    @property
    def serves(self) -> bool:
        """Whether a request is answered: by the first slot of the route that runs."""
        return any((container := self.slot(slot)) is not None and container.running for slot in self.route)


Effect = Callable[[Host, Operation], Host]


class Seen(NamedTuple):
    """What a deployer has read of a host."""

    current: int
    route: tuple[Slot, ...]
    last: Line | None
    recorded: frozenset[int]


Doing = Literal[
    "locking", "reading", "undoing", "finishing", "retiring", "prepare", "start", "switch", "commit", "retire", "undo"
]


class Deployer(NamedTuple):
    """A process on somebody's laptop. `doing` None: it is over, or dead; "idle" is before its first step.

    `deploys`: it releases something of its own, else it only recovers (`invoke status`). `calls` are the answers of the
    hosts it has asked: None while it waits.
    """

    deploys: bool
    may_die: bool
    doing: Doing | Literal["idle"] | None = "idle"
    alive: bool = True
    tokens: tuple[int, ...] = ()
    seen: tuple[Seen, ...] = ()
    operations: tuple[Operation | None, ...] = ()
    calls: tuple[bool | None, ...] = ()


class Rules(NamedTuple):
    """What keeps stories from ending badly; without one of these they do, which is how the model is tested.

    `reads_wait`: a host's state is read when no script works there any more (lease.sh). `overtaken_refused`: a script
    that the undo of its own operation has overtaken is turned away (lib.sh, guard).

    The others let more happen than stories need to be looked at for, and are for following journals (replay.py).
    `scripts_die`: with their host, with its Engine, for want of room on its disk; an undo is then tried once more.
    `gives_up`: a deployer may undo at any moment before the commit: Ctrl-C, or a phase that isn't modelled fails.
    """

    reads_wait: bool = True
    overtaken_refused: bool = True
    scripts_die: bool = False
    gives_up: bool = False


class World(NamedTuple):
    hosts: tuple[Host, ...]
    deployers: tuple[Deployer, ...]

    def with_host(self, index: int, host: Host) -> World:
        return self._replace(hosts=(*self.hosts[:index], host, *self.hosts[index + 1 :]))

    def with_deployer(self, index: int, deployer: Deployer) -> World:
        return self._replace(deployers=(*self.deployers[:index], deployer, *self.deployers[index + 1 :]))


def beginning(hosts: int, *deployers: Deployer) -> World:
    """`hosts` hosts on which the first release serves."""
    return World((Host(),) * hosts, deployers)


# ---- what a script does, action by action: a crash may come between any two of them


def actions(call: Call) -> int:
    """How many actions a script has, its two journal lines included."""
    return {"start": 4, "retire": 4, "undo": 4}.get(call.phase, 3)


def acted(host: Host, call: Call) -> Host:
    """`host` after the next action of `call`."""
    operation, phase, step = call.operation, call.phase, call.done
    last = actions(call) - 1
    if step == 0:
        host = host._replace(last=Line(operation, phase, "begin"))
        if phase == "undo":
            return host._replace(undone=operation.id)
        return host._replace(recorded=host.recorded | {operation.id}) if phase == "retire" else host
    if step == last:
        host = host._replace(last=Line(operation, phase, "end"))
        return host._replace(recorded=host.recorded | {operation.id}) if phase == "commit" else host
    return EFFECTS[phase, step](host, operation)


def _replace(**values: Callable[[Host, Operation], object]) -> Effect:
    return lambda host, operation: host._replace(**{name: value(host, operation) for name, value in values.items()})


def _stop_old(host: Host, operation: Operation) -> Host:
    old = host.slot(operation.previous_slot)
    return host.with_slot(operation.previous_slot, old._replace(running=False)) if old else host


def _remove_new(host: Host, operation: Operation) -> Host:
    mine = host.slot(operation.slot)
    host = host._replace(releases=host.releases - {operation.id})
    return host.with_slot(operation.slot, None) if mine and mine.release == operation.id else host


# What the scripts of portside/host/scripts do between their two journal lines, in their order.
EFFECTS: Mapping[tuple[Phase, int], Effect] = {
    ("prepare", 1): _replace(releases=lambda host, operation: host.releases | {operation.id}),
    ("start", 1): _replace(route=lambda host, _: host.route[:1]),
    ("start", 2): lambda host, operation: host.with_slot(operation.slot, Container(operation.id, True)),
    ("switch", 1): _replace(route=lambda _, operation: (operation.slot, operation.previous_slot)),
    ("commit", 1): _replace(current=lambda _, operation: operation.id),
    ("retire", 1): _replace(route=lambda _, operation: (operation.slot,)),
    ("retire", 2): _stop_old,
    ("undo", 1): _replace(route=lambda _, operation: operation.route),
    ("undo", 2): _remove_new,
}


def of_hosts(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Every next step of a script, whoever started it."""
    for index, host in enumerate(world.hosts):
        if host.working is None:
            for call in host.waiting:
                left = host._replace(waiting=host.waiting - {call})
                late = rules.overtaken_refused and call.phase != "undo" and call.operation.id == host.undone
                if host.holder is not None and call.token == host.token and not late:
                    yield (
                        f"{index}: {call.phase} begins",
                        world.with_host(index, left._replace(working=call._replace(done=0))),
                    )
                else:
                    yield (
                        f"{index}: {call.phase} is turned away",
                        answered(world.with_host(index, left), index, call, False),
                    )
            continue
        call = host.working
        if rules.scripts_die:
            dead = host._replace(working=None)
            yield f"{index}: {call.phase} dies", answered(world.with_host(index, dead), index, call, False)
            if call.phase == "undo":
                again = dead._replace(waiting=dead.waiting | {call._replace(done=-1)})
                yield f"{index}: undo dies and is tried again", world.with_host(index, again)
        after = acted(host, call)._replace(working=call._replace(done=call.done + 1))
        if call.done + 1 < actions(call):
            yield f"{index}: {call.phase} {call.done}", world.with_host(index, after)
        else:
            ended = world.with_host(index, after._replace(working=None))
            yield f"{index}: {call.phase} ends", answered(ended, index, call, True)
        if call.phase in ("start", "switch") and call.done == actions(call) - 1:
            # A release that isn't fit: all was done but the last line.
            yield (
                f"{index}: {call.phase} fails",
                answered(world.with_host(index, host._replace(working=None)), index, call, False),
            )


def answered(world: World, host: int, call: Call, well: bool) -> World:
    """The deployer hears of it, if it still listens to that call."""
    deployer = world.deployers[call.deployer]
    if not deployer.alive or deployer.doing is None or PHASES.get(deployer.doing) != call.phase:
        return world
    if deployer.calls[host] is not None or deployer.tokens[host] != call.token:
        return world
    calls = (*deployer.calls[:host], well, *deployer.calls[host + 1 :])
    return world.with_deployer(call.deployer, deployer._replace(calls=calls))


# ---- what a deployer does

PHASES: Mapping[str, Phase] = {
    "undoing": "undo",
    "finishing": "commit",
    "retiring": "retire",
    "prepare": "prepare",
    "start": "start",
    "switch": "switch",
    "commit": "commit",
    "retire": "retire",
    "undo": "undo",
}
NEXT: Mapping[str, Doing] = {"prepare": "start", "start": "switch", "switch": "commit", "commit": "retire"}


def of_deployers(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Every next step of a deployer: its own, its death, the loss of a lease by silence."""
    for index, deployer in enumerate(world.deployers):
        if deployer.doing is None or not deployer.alive:
            yield from _leases_end(world, index)
            continue
        if deployer.doing != "idle" or may_begin(world, index):
            yield from _own(world, index, deployer, rules)
        if deployer.may_die and deployer.doing != "idle":
            yield f"{index} dies", world.with_deployer(index, _gone(deployer))
            # A lid is closed, a network is cut: the lease ends, and the deployer may wake up again.
            yield from _leases_end(world, index)


def may_begin(world: World, index: int) -> bool:
    """Somebody who only recovers comes when all others are over; two who release may come at any time."""
    deployer = world.deployers[index]
    return deployer.deploys or all(
        other.doing is None for position, other in enumerate(world.deployers) if position != index
    )


def _gone(deployer: Deployer) -> Deployer:
    return Deployer(deployer.deploys, deployer.may_die, doing=None, alive=False)


def _over(deployer: Deployer) -> Deployer:
    return Deployer(deployer.deploys, deployer.may_die, doing=None)


def _leases_end(world: World, index: int) -> Iterator[tuple[str, World]]:
    for position, host in enumerate(world.hosts):
        if host.holder == index:
            yield f"{position}: the lease of {index} ends", world.with_host(position, host._replace(holder=None))


def _own(world: World, index: int, deployer: Deployer, rules: Rules) -> Iterator[tuple[str, World]]:
    if deployer.doing in ("idle", "locking"):
        position = len(deployer.tokens)
        host = world.hosts[position]
        if host.holder is not None:
            # The last one tries until it has its turn.
            if deployer.may_die:
                yield f"{index} is kept out", world.with_deployer(index, _over(deployer))
            return
        token = host.token + 1
        tokens = (*deployer.tokens, token)
        doing: Doing = "reading" if len(tokens) == len(world.hosts) else "locking"
        locked = world.with_host(position, host._replace(token=token, holder=index))
        yield f"{index} locks {position}", locked.with_deployer(index, deployer._replace(tokens=tokens, doing=doing))
        return
    if deployer.doing == "reading":
        position = len(deployer.seen)
        host = world.hosts[position]
        if rules.reads_wait and host.working is not None:
            return
        seen = (*deployer.seen, Seen(host.current, host.route, host.last, host.recorded))
        read = deployer._replace(seen=seen)
        if len(seen) == len(world.hosts):
            yield f"{index} reads {position} and decides", _decided(world, index, read)
        else:
            yield f"{index} reads {position}", world.with_deployer(index, read)
        return
    mine = [position for position, operation in enumerate(deployer.operations) if operation is not None]
    results = [deployer.calls[position] for position in mine]
    if rules.gives_up and deployer.doing in ("prepare", "start", "switch"):
        yield f"{index} gives up", _failed(world, index, deployer)
    if False in results:
        yield f"{index}: {deployer.doing} failed", _failed(world, index, deployer)
    elif None not in results:
        yield f"{index}: {deployer.doing} is done", _went_on(world, index, deployer)


def _decided(world: World, index: int, deployer: Deployer) -> World:
    found = unfinished(tuple(seen.last for seen in deployer.seen), frozenset(seen.current for seen in deployer.seen))
    if found is not None:
        operations, committed = found
        deployer = deployer._replace(operations=operations)
        if not committed:
            return _asked(world, index, deployer, "undoing")
        # Where the commit was recorded already, only the retirement is left.
        unrecorded = tuple(
            operation if operation is not None and operation.id not in seen.recorded else None
            for operation, seen in zip(operations, deployer.seen, strict=True)
        )
        if any(unrecorded):
            return _asked(world, index, deployer, "finishing", unrecorded)
        return _asked(world, index, deployer, "retiring")
    if not deployer.deploys:
        return world.with_deployer(index, _over(deployer))
    identity = index + 1
    operations = tuple(
        Operation(identity, other(seen.route[0]), seen.current, seen.route[0], seen.route) for seen in deployer.seen
    )
    return _asked(world, index, deployer._replace(operations=operations), "prepare")


def _asked(
    world: World, index: int, deployer: Deployer, doing: Doing, operations: tuple[Operation | None, ...] | None = None
) -> World:
    """Every host of the operation is sent the script of `doing`."""
    chosen = deployer.operations if operations is None else operations
    for position, operation in enumerate(chosen):
        if operation is not None:
            host = world.hosts[position]
            call = Call(index, deployer.tokens[position], operation, PHASES[doing])
            world = world.with_host(position, host._replace(waiting=host.waiting | {call}))
    calls = tuple(None if operation is not None else True for operation in chosen)
    return world.with_deployer(index, deployer._replace(doing=doing, calls=calls))


def _went_on(world: World, index: int, deployer: Deployer) -> World:
    doing = deployer.doing
    if doing == "finishing":
        return _asked(world, index, deployer, "retiring")
    if doing in ("undoing", "retiring") and deployer.deploys:
        # Recovered: the hosts are read again, and then it is this deployer's turn.
        return world.with_deployer(index, deployer._replace(doing="reading", seen=(), operations=(), calls=()))
    if doing in NEXT:
        return _asked(world, index, deployer, NEXT[str(doing)])
    return world.with_deployer(index, _over(deployer))


def _failed(world: World, index: int, deployer: Deployer) -> World:
    if deployer.doing in ("prepare", "start", "switch"):
        # It doesn't wait for the other hosts' answers: what still works there is waited for by the work lock.
        return _asked(world, index, deployer, "undo")
    return world.with_deployer(index, _over(deployer))


@cache
def unfinished(
    lasts: tuple[Line | None, ...], committed: frozenset[int]
) -> tuple[tuple[Operation | None, ...], bool] | None:
    """The engine's own judgement of what was left behind, over the model's journals."""
    entries = {str(position): [_entry(line)] if line else [] for position, line in enumerate(lasts)}
    found = journal.unfinished(entries, {str(identity) for identity in committed})
    if found is None:
        return None
    operations = tuple(
        line.operation if line is not None and str(position) in found.operations else None
        for position, line in enumerate(lasts)
    )
    return operations, found.committed


@cache
def _entry(line: Line) -> Entry:
    operation = journal.Operation(
        id=str(line.operation.id),
        kind="deploy",
        owner="model",
        release=str(line.operation.id),
        slot=line.operation.slot,
    )
    return Entry(at=0, phase=line.phase, event=line.event, operation=operation)


RULES = Rules()


def steps(world: World, rules: Rules = RULES) -> Iterator[tuple[str, World]]:
    """All that can happen next, each with its name."""
    yield from of_hosts(world, rules)
    yield from of_deployers(world, rules)


def has(host: Host, release: int) -> bool:
    return any(container is not None and container.release == release for container in (host.blue, host.green))


def broken(world: World, last: bool) -> str:
    """What the design promises (its invariants 1, 3 and 4) and this world breaks; "" when it breaks nothing.

    `last`: nothing more can happen. Until then a release may be half-way; then it may not be.
    """
    for index, host in enumerate(world.hosts):
        if not host.serves:
            return f"nothing answers on host {index}: {host}"
        if host.current not in host.releases:
            return f"host {index} has lost what it committed: {host}"
        if not all(has(each, host.current) for each in world.hosts):
            return f"host {index} committed what isn't on every host: {world}"
    return _ended_badly(world) if last else ""


def _ended_badly(world: World) -> str:
    if any(deployer.doing is not None for deployer in world.deployers):
        return f"somebody waits for ever: {world}"
    if len({host.current for host in world.hosts}) > 1:
        return f"half of it happened: {world}"
    for index, host in enumerate(world.hosts):
        if host.slot(host.route[0]) != Container(host.current, True):
            return f"host {index} serves what isn't committed: {host}"
    locked = [host for host in world.hosts if host.holder is not None or host.working or host.waiting]
    return f"still locked, or at work: {locked}" if locked else ""
