"""What survives a crash: the lines each host writes before and after every phase, and what they mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portside.release import Slot

Phase = Literal[
    "prepare",
    "before-switch",
    "start",
    "switch",
    "bake",
    "commit",
    "retire",
    "undo",
    "maintenance",
    "accessories",
    "remove",
]
Kind = Literal["deploy", "rollback", "maintenance", "accessories", "remove"]
BESIDE_RELEASES: tuple[Kind, ...] = ("maintenance", "accessories", "remove")
# A host that has ended one of these has nothing left to finish or undo.
LAST_PHASES = ("retire", "undo")


class Operation(BaseModel):
    """One deploy or rollback at one host: all that is needed to finish or undo it without its deployer.

    `route` is what an undo restores ("" when there was no release); `warm` says that the release to switch to was
    already running; `fresh` that its directory was made by this operation. `swarm`: empty where Compose runs the
    containers; else whether this host `acts` for the whole Swarm where only one may, or `follows`. A maintenance page
    has it where it is shown, or taken away, on all hosts of a Swarm.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    owner: str
    release: str = ""
    slot: Slot = "blue"
    previous: str | None = None
    previous_slot: Slot | None = None
    route: str = ""
    stop_first: tuple[str, ...] = ()
    previous_stop_first: tuple[str, ...] = ()
    # How many seconds the containers of either release may take to stop.
    grace: float = 10
    warm: bool = False
    fresh: bool = True
    swarm: Literal["", "acts", "follows"] = ""
    # Empty in what was begun before monitoring was told of releases.
    service: str = ""
    env: str = ""
    # For the history, which outlives a release's own record; empty in what was begun before it was kept here.
    commit: str = ""


class Entry(BaseModel):
    """One journal line. `at` is seconds since the epoch by the host's clock."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # Up to the year 2200: what is beyond can't be shown as a date.
    at: Annotated[int, Field(ge=0, lt=7_258_118_400)]
    phase: Phase
    event: Literal["begin", "end"]
    operation: Operation
    reason: str = ""

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.at).astimezone()


def line(operation: Operation, phase: Phase, event: Literal["begin", "end"], reason: str = "") -> str:
    """A journal line without its time, which the host adds."""
    entry = Entry(at=0, phase=phase, event=event, operation=operation, reason=reason)
    return entry.model_dump_json(exclude={"at"})


def parse_journal(lines: Iterable[str]) -> tuple[Entry, ...]:
    """The readable lines. A line cut short by a crash is left out: what it announces has not begun or not ended."""
    entries = []
    for text in lines:
        try:
            entries.append(Entry.model_validate_json(text))
        except ValidationError:
            continue
    return tuple(entries)


@dataclass(frozen=True)
class Unfinished:
    """An operation that some host began and did not end. `committed`: it has to be finished, else undone."""

    operations: dict[str, Operation]
    committed: bool
    phase: Phase

    @property
    def any(self) -> Operation:
        return next(iter(self.operations.values()))


def unfinished(journals: Mapping[str, Sequence[Entry]], committed: Collection[str]) -> Unfinished | None:
    """What a crashed deployer left behind, judged from the journals of all hosts (host name to entries).

    `committed` are the ids of operations that some host's current.json is from. The barrier comes before the first
    commit, so one committed host means that every host was ready: the rest is finished. Else everything is undone.
    """
    open_operations: dict[str, Operation] = {}
    phases: list[Phase] = []
    for host, entries in journals.items():
        # What came between an operation and its recovery is no end of it.
        releases = (each for each in reversed(entries) if each.operation.kind not in BESIDE_RELEASES)
        last = next(releases, None)
        if last is None or (last.event == "end" and last.phase in LAST_PHASES):
            continue
        # A node that was away while the others went on is brought up to date; its Swarm has long decided.
        if last.operation.swarm and committed and last.operation.id < max(committed):
            continue
        open_operations[host] = last.operation
        phases.append(last.phase)
    if not open_operations:
        return None
    newest = max(operation.id for operation in open_operations.values())
    mine = {host: operation for host, operation in open_operations.items() if operation.id == newest}
    return Unfinished(mine, newest in committed, max(phases, key=get_args(Phase).index))
