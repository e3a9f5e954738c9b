"""Rate, errors and duration of requests, by route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

# Each threshold that an alert or an objective asks about has to be a bucket: 0.1, 0.25, 0.5 and 1 s.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)

# A method is whatever a client sends: the others share one label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"
# What this service answers when it fails. They are there with 0 before the first: Prometheus sees no rise in a
# counter that begins with its first value, and a burst of errors would be none.
FAILURES = ("500", "503")

DURATION = "http_request_duration_seconds"


class RequestMetrics:
    """Counts requests; what a label set needs is looked up once and kept (docs/decisions/0005)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            DURATION,
            "From a request's head to the end of its answer.",
            ("method", "handler", "status"),
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "http_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self._known: dict[tuple[str, str | None, int], Callable[[float], None]] = {}

    def begin(self) -> None:
        self._in_flight.inc()

    def end(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """`route` is a template, never a path: the number of routes bounds the number of series."""
        self._in_flight.dec()
        if method not in METHODS:
            method = OTHER_METHOD
        key = (method, route, status)
        observe = self._known.get(key)
        if observe is None:
            observe = self._duration.labels(method, route or NO_ROUTE, str(status)).observe
            self._known[key] = observe
        observe(seconds)


def with_totals(families: Iterable[Metric]) -> Iterator[Metric]:
    """Adds `http_requests_total`, which the histogram has counted already."""
    for family in families:
        yield family
        if family.name == DURATION:
            counted = [
                sample._replace(name="http_requests_total")
                for sample in family.samples
                if sample.name == f"{DURATION}_count"
            ]
            total = Metric("http_requests", "Requests answered.", "counter")
            total.samples = [*counted, *_not_failed_yet(counted)]
            yield total


def _not_failed_yet(counted: list[Sample]) -> Iterator[Sample]:
    """Zeros for what each method of a route could have answered and hasn't."""
    there = {frozenset(sample.labels.items()) for sample in counted}
    for sample in counted:
        for status in FAILURES:
            labels = {**sample.labels, "status": status}
            if frozenset(labels.items()) not in there:
                there.add(frozenset(labels.items()))
                yield sample._replace(labels=labels, value=0.0)
