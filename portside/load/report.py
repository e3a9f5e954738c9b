"""What a load has seen, counted while it runs."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, repeat

from pydantic import BaseModel, ConfigDict

# Each bucket of the latency histogram is 2 % wider than the one before: 0.05 ms to about 200 s.
BUCKETS = tuple(accumulate(repeat(1.02, 770), lambda bound, step: bound * step, initial=0.05))
SHOWN_FAILURES = 20
SHOWN_CHARACTERS = 200


class Latency(BaseModel):
    """Milliseconds over all answered requests; percentiles are at most 2 % too high, `max` is exact."""

    model_config = ConfigDict(frozen=True)

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class KindReport(BaseModel):
    """One kind of request. `statuses` and `errors` add up to `requests`."""

    model_config = ConfigDict(frozen=True)

    requests: int
    failed: int
    statuses: dict[int, int]
    errors: dict[str, int]


class Failure(BaseModel):
    """One failed request: `at` seconds after the load began; `outcome` is a status and what came with it, or an error.

    The first 200 characters of an answer: who answered it, the service or the proxy, is seen there or nowhere.
    """

    model_config = ConfigDict(frozen=True)

    at: float
    kind: str
    outcome: str


class Report(BaseModel):
    """All requests that ended, and how. `failures` are the first ones only; `failed` counts all."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    requests: int
    failed: int
    per_second: float
    latency_ms: Latency
    kinds: dict[str, KindReport]
    failures: tuple[Failure, ...]


class Tally:
    """Counts requests as they end."""

    def __init__(self, kinds: Sequence[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self._ended: float | None = None
        self._statuses: dict[str, Counter[int]] = {kind: Counter() for kind in kinds}
        self._errors: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
        self._failed: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._slowest = 0.0

    def answered(self, kind: str, status: int, seconds: float, *, accepted: bool, body: bytes = b"") -> None:
        self._statuses[kind][status] += 1
        milliseconds = seconds * 1000
        self._buckets[bisect_left(BUCKETS, milliseconds)] += 1
        self._slowest = max(self._slowest, milliseconds)
        if not accepted:
            self._fail(kind, f"{status} {body.decode(errors='replace')[:SHOWN_CHARACTERS]}".strip())

    def dropped(self, kind: str, text: str) -> None:
        self._errors[kind][text] += 1
        self._fail(kind, text)

    def end(self) -> None:
        self._ended = self._clock()

    def report(self) -> Report:
        kinds = {kind: self._kind(kind) for kind in self._statuses}
        requests = sum(kind.requests for kind in kinds.values())
        seconds = (self._clock() if self._ended is None else self._ended) - self._begun
        return Report(
            seconds=round(seconds, 3),
            requests=requests,
            failed=self._failed.total(),
            per_second=round(requests / seconds, 1) if seconds > 0 else 0.0,
            latency_ms=self._latency(),
            kinds=kinds,
            failures=tuple(self._failures),
        )

    def _fail(self, kind: str, outcome: str) -> None:
        self._failed[kind] += 1
        if len(self._failures) < SHOWN_FAILURES:
            at = round(self._clock() - self._begun, 3)
            self._failures.append(Failure(at=at, kind=kind, outcome=outcome))

    def _kind(self, kind: str) -> KindReport:
        statuses, errors = self._statuses[kind], self._errors[kind]
        return KindReport(
            requests=statuses.total() + errors.total(),
            failed=self._failed[kind],
            statuses=dict(statuses),
            errors=dict(errors),
        )

    def _latency(self) -> Latency:
        if self._slowest == 0.0:
            return Latency()
        running = list(accumulate(self._buckets))

        def percentile(share: float) -> float:
            bucket = bisect_left(running, share * running[-1])
            return round(min(BUCKETS[min(bucket, len(BUCKETS) - 1)], self._slowest), 3)

        return Latency(
            p50=percentile(0.5),
            p90=percentile(0.9),
            p99=percentile(0.99),
            p999=percentile(0.999),
            max=round(self._slowest, 3),
        )
