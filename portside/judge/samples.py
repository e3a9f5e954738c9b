"""What a container's /metrics said, as numbers that can be subtracted and added."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from portside.config import Judge

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]
Counters = Mapping[Series, float]

# Series of all services and releases that one command may see; each is parsed once and then known by its text.
KNOWN_SERIES = 100_000


@dataclass(frozen=True)
class Sample:
    """One container at one moment. Counters since it started; gauges are None where it has none.

    `pool` is the share of the database pool that is in use, 0 to 1.
    """

    counters: Counters = field(default_factory=dict)
    in_flight: float | None = None
    pool: float | None = None

    @property
    def counts_requests(self) -> bool:
        return bool(self.counters)


def sample(text: str, names: Judge) -> Sample:
    """Read Prometheus' text format. What isn't asked for, or can't be read, is left out."""
    wanted = {names.requests, *(f"{names.duration}_{part}" for part in ("bucket", "count", "sum"))}
    gauges = {key: series(text) for key, text in _gauges(names).items()}
    counters: dict[Series, float] = {}
    found: dict[str, float] = {}
    for line in text.splitlines():
        cut = line.rfind("}") + 1 or line.find(" ")
        if cut <= 0 or line.startswith("#"):
            continue
        known = series(line[:cut])
        if known is None:
            continue
        name, labels = known
        if name in wanted:
            counters[known] = _number(line[cut:])
            continue
        for key, gauge in gauges.items():
            if gauge and gauge[0] == name and set(gauge[1]) <= set(labels):
                found[key] = found.get(key, 0.0) + _number(line[cut:])
    pool = found["in_use"] / found["capacity"] if found.get("capacity") and "in_use" in found else None
    return Sample(counters, found.get("in_flight"), pool)


@lru_cache(maxsize=KNOWN_SERIES)
def series(text: str) -> Series | None:
    """`name{label="value"}` as a value. By text: a look every second sees the same thousand series again and again,
    and the library takes 40 µs for each."""
    # Imported here: it takes longer than a rollback has, and a release without a bake never asks.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        for family in text_string_to_metric_families(f"{text} 0\n"):
            for one in family.samples:
                return one.name, tuple(sorted(one.labels.items()))
    except (ValueError, KeyError, IndexError):
        return None
    return None


def increase(before: Counters, after: Counters) -> dict[Series, float]:
    """What was counted from `before` to `after`. A counter that fell began anew, as in PromQL: all of it is new."""
    found = {}
    for key, value in after.items():
        earlier = before.get(key, 0.0)
        found[key] = value - earlier if value >= earlier else value
    return found


def added(counters: Iterable[Counters]) -> dict[Series, float]:
    """The sum over containers, or over looks."""
    total: dict[Series, float] = {}
    for each in counters:
        for key, value in each.items():
            total[key] = total.get(key, 0.0) + value
    return total


def _gauges(names: Judge) -> dict[str, str]:
    return {"in_flight": names.in_flight, "in_use": names.pool_in_use, "capacity": names.pool_capacity}


def _number(text: str) -> float:
    try:
        value = float(text.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return 0.0
    return value if math.isfinite(value) else 0.0
