"""What is exported by the programs whose images can't always be had, from a list of names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "exported.txt"
# What Prometheus adds to everything that it scrapes, and the agent to everything that it sends.
SCRAPED = frozenset({"job", "instance"})
SENT = frozenset({"host", "env"})
AGENTS = frozenset({"cadvisor", "alloy"})


@dataclass(frozen=True)
class Exported:
    """A metric of the exporter that is scraped as `job`."""

    job: str
    labels: frozenset[str]


def exported() -> dict[str, Exported]:
    """Metric to where it comes from."""
    rows = [line.split() for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    shared = {job: frozenset(labels) for job, metric, *labels in rows if metric == "*"}
    return {
        metric: Exported(
            job,
            frozenset(labels) | shared.get(job, frozenset()) | SCRAPED | (SENT if job in AGENTS else frozenset()),
        )
        for job, metric, *labels in rows
        if metric != "*"
    }
