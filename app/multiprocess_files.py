"""The files through which workers share their counts: each dead worker leaves two, and every scrape reads all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# Blocks of stat(2), whatever the file system's own are.
_BLOCK = 512


class MultiprocessFiles(Collector):
    """Looked at when it is asked for: any worker sees the same directory. Zero for a single process."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        found = list(_sizes(Path(self._directory))) if self._directory else []
        yield GaugeMetricFamily(
            "app_multiprocess_files", "Files in which workers, living and dead, keep their metrics.", len(found)
        )
        yield GaugeMetricFamily("app_multiprocess_bytes", "What these files take of their file system.", sum(found))


def _sizes(directory: Path) -> Iterator[int]:
    for entry in os.scandir(directory):
        try:
            if entry.name.endswith(".db"):
                yield entry.stat().st_blocks * _BLOCK
        except FileNotFoundError:
            continue  # a worker has just died
