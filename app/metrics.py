"""What is counted and measured, and how it is shown to Prometheus across all workers.

`service`, `env` and `release` are put on every series when it is rendered, not when it is counted: no
metric can forget them, counting stays as cheap as without, and queries need no join with an info metric.
A container runs one release, so this adds no series. `app_info` exists for what isn't worth a label.
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.multiprocess_files import MultiprocessFiles
from app.request_metrics import with_totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

TRIES, PAUSE = 20, 0.01


class Metrics:
    """The metrics of one application in this process, and the view over all processes."""

    def __init__(
        self, *, labels: dict[str, str], revision: str = "unknown", multiprocess_dir: str | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self._labels = labels
        self._multiprocess_dir = multiprocess_dir or os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        info = Gauge(
            "app_info",
            "Always 1; its labels say what runs.",
            ["python", "revision"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        info.labels(platform.python_version(), revision).set(1)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        for _ in range(TRIES):
            # A worker that is just starting has a file for a moment in which there isn't a single byte.
            with suppress(struct.error):
                return self._rendered()
            time.sleep(PAUSE)
        return self._rendered()

    def _rendered(self) -> bytes:
        source: Collector = self.registry
        if self._multiprocess_dir:
            source = MultiProcessCollector(None, self._multiprocess_dir)  # type: ignore[no-untyped-call]
        shown = CollectorRegistry(auto_describe=False)
        shown.register(_Labelled(source, self._labels))
        shown.register(_Labelled(MultiprocessFiles(self._multiprocess_dir), self._labels))
        return generate_latest(shown)


class _Labelled(Collector):
    """Another collector's metrics, with the same labels added to all samples."""

    def __init__(self, source: Collector, labels: dict[str, str]) -> None:
        self._source = source
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for metric in with_totals(self._source.collect()):
            metric.samples = [sample._replace(labels={**sample.labels, **self._labels}) for sample in metric.samples]
            yield metric
