"""How a Gunicorn worker runs this service: Uvicorn, with a bounded grace period for its requests."""

from __future__ import annotations

import math
import signal
from types import FrameType
from typing import Any, ClassVar

# Uvicorn imports these by name once a worker runs. Here it happens before the fork, once for all.
import uvicorn.lifespan.on
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl  # noqa: F401
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from app.worker_exits import LastWord


class Worker(UvicornWorker):  # type: ignore[misc]
    """Uvicorn writes no access log: the service's own middleware writes one line per request."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "access_log": False,
        "loop": "uvloop",
        "http": "httptools",
        "server_header": False,
        "ws": "none",
        # Gunicorn's are meant. Uvicorn would read WEB_CONCURRENCY, and take fewer ways to write it.
        "workers": 1,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_word = LastWord()

    def init_signals(self) -> None:
        super().init_signals()
        # Uvicorn puts its own handler in front, and raises the signal again for this one when all is done.
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self.last_word.say("recycled")
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def run(self) -> None:
        try:
            super().run()
        except BaseException:
            self.last_word.say("error")
            raise
        self.last_word.say("recycled")


def worker_class_with(*, request_grace: float) -> type[Worker]:
    """Seconds that requests in flight get after SIGTERM.

    Without this bound Uvicorn waits for ever, Gunicorn kills the worker when its own patience ends, and
    the lifespan's shutdown never runs.
    """
    grace = {"timeout_graceful_shutdown": max(1, math.floor(request_grace))}
    return type("BoundedWorker", (Worker,), {"CONFIG_KWARGS": {**Worker.CONFIG_KWARGS, **grace}})
