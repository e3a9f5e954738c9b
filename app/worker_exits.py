"""How web workers end, counted by the Gunicorn master: a worker can't tell of its own death."""

from __future__ import annotations

import mmap
from typing import Literal

from prometheus_client import CollectorRegistry, Counter

# signal: killed from outside or crashed (out of memory, SIGKILL, segmentation fault). error: an exception ended
# it. timeout: its event loop stood still, Gunicorn killed it. recycled: asked to end, and did.
Reason = Literal["signal", "error", "timeout", "recycled"]
REASONS: tuple[Reason, ...] = ("signal", "error", "timeout", "recycled")


class LastWord:
    """A byte shared by master and worker. Made before the fork; nothing in it means that there was no time."""

    _BYTES: dict[bytes, Reason] = {b"e": "error", b"r": "recycled"}  # noqa: RUF012

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def say(self, reason: Literal["error", "recycled"]) -> None:
        self._shared[:1] = reason[:1].encode()

    @property
    def reason(self) -> Reason:
        return self._BYTES.get(self._shared[:1], "signal")


class WorkerExits:
    """The counter, in the master's own file beside the workers'."""

    def __init__(self) -> None:
        exits = Counter(
            "app_worker_exits_total",
            "Web workers that ended, by reason.",
            ["reason"],
            registry=CollectorRegistry(),
        )
        # There from 0: an increase from nothing is no increase to Prometheus.
        self._by_reason = {reason: exits.labels(reason) for reason in REASONS}

    def count(self, last_word: LastWord, *, timed_out: bool) -> None:
        self._by_reason["timeout" if timed_out else last_word.reason].inc()
