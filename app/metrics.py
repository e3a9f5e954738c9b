"""What is counted and measured, and how it is shown to Prometheus across all workers.

`service`, `env` and `release` are put on every series when it is rendered, not when it is counted: no
metric can forget them, counting stays as cheap as without, and queries need no join with an info metric.
A container runs one release, so this adds no series. `app_info` exists for what isn't worth a label.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator import metrics as instruments

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Each threshold that an alert or an objective asks about has to be a bucket: 0.1, 0.25, 0.5 and 1 s.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one application in this process, and the view over all processes."""

    def __init__(self, *, labels: dict[str, str], multiprocess_dir: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self._labels = labels
        self._multiprocess_dir = multiprocess_dir or os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        info = Gauge(
            "app_info",
            "Always 1; its labels say what runs.",
            ["python"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        info.labels(platform.python_version()).set(1)

    def instrument(self, app: FastAPI, *, excluded: frozenset[str]) -> None:
        """Count and time every request to `app` but those to `excluded` paths."""
        count = instruments.requests(registry=self.registry)
        time = instruments.latency(buckets=LATENCY_BUCKETS, should_include_status=True, registry=self.registry)
        # The library answers None for a name that is taken, and then records nothing.
        if count is None or time is None:
            raise RuntimeError("the request metrics are registered already")
        Instrumentator(
            should_group_status_codes=False,
            should_group_untemplated=True,
            excluded_handlers=[f"^{path}$" for path in sorted(excluded)],
            registry=self.registry,
        ).add(count, time).instrument(app)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        source: Collector = self.registry
        if self._multiprocess_dir:
            source = MultiProcessCollector(None, self._multiprocess_dir)  # type: ignore[no-untyped-call]
        shown = CollectorRegistry(auto_describe=False)
        shown.register(_Labelled(source, self._labels))
        return generate_latest(shown)


class _Labelled(Collector):
    """Another collector's metrics, with the same labels added to all samples."""

    def __init__(self, source: Collector, labels: dict[str, str]) -> None:
        self._source = source
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for metric in self._source.collect():
            metric.samples = [sample._replace(labels={**sample.labels, **self._labels}) for sample in metric.samples]
            yield metric
