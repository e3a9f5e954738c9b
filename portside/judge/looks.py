"""One look at one host: what its containers of both releases said, as portside/host/scripts/look.sh prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from portside.config import Judge
from portside.judge.samples import Counters, Sample, sample


@dataclass(frozen=True)
class Seen:
    """One container that takes requests. `sample` is None when its metrics didn't answer."""

    sample: Sample | None
    ready: bool


@dataclass(frozen=True)
class Lines:
    """Error lines of all of a release's containers at a host, over some seconds."""

    count: int
    seconds: float

    def __add__(self, other: Lines) -> Lines:
        return Lines(self.count + other.count, self.seconds + other.seconds)


@dataclass(frozen=True)
class Side:
    """One release at one host, by container. `lines` is None when they weren't counted in this look."""

    containers: Mapping[str, Seen] = field(default_factory=dict)
    lines: Lines | None = None

    @property
    def samples(self) -> dict[str, Sample]:
        return {name: seen.sample for name, seen in self.containers.items() if seen.sample is not None}

    @property
    def counters(self) -> dict[str, Counters]:
        return {name: one.counters for name, one in self.samples.items() if one.counts_requests}

    @property
    def in_flight(self) -> float | None:
        return _sum(one.in_flight for one in self.samples.values())

    @property
    def pool(self) -> float | None:
        """The fullest pool of any container."""
        return max((one.pool for one in self.samples.values() if one.pool is not None), default=None)


@dataclass(frozen=True)
class Look:
    """Both releases at one host, at one moment."""

    old: Side
    new: Side


def parse_look(text: str, names: Judge) -> Look:
    """Parse what look.sh printed for one look. What can't be understood is as if it weren't there."""
    containers: dict[str, dict[str, Seen]] = {"old": {}, "new": {}}
    lines: dict[str, Lines] = {}
    for head, body in _sections(text):
        if head[0] == "container" and len(head) == 5 and head[1] in containers:
            _, side, name, ready, answered = head
            said = sample(body, names) if answered == "answered" else None
            containers[side][name] = Seen(said, ready == "ready")
        elif head[0] == "lines" and len(head) == 4:
            try:
                lines[head[1]] = Lines(int(head[2]), float(head[3]))
            except ValueError:
                continue
    return Look(Side(containers["old"], lines.get("old")), Side(containers["new"], lines.get("new")))


def _sections(text: str) -> Iterator[tuple[list[str], str]]:
    for part in f"\n{text}".split("\n@@")[1:]:
        head, _, body = part.partition("\n")
        if head.strip():
            yield head.split(), body


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
