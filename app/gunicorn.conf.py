# ruff: noqa: N999, E402 - Gunicorn's usual file name; the order of its lines matters
"""Read by Gunicorn: `python -m app.web -c app/gunicorn.conf.py app.asgi:app`. Top to bottom, once.

Durations nest: requests in flight (request_grace) < Gunicorn's patience (GRACE_PERIOD) < the container
runtime's (`stop_grace_period`), so that each layer can finish what it does before the next one kills it.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

# Start-up is in the critical path of every release (figures in docs/service.md). Imports make hardly any
# garbage, so collecting it waits for the first fork.
gc.disable()
# FastAPI would import all of pydantic.v1 to be able to say that it doesn't support its models.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]

from app.settings import SettingsError, exit_for, load_settings_or_exit

# Each connection is an open file. At the soft limit, often 1024, they are accepted and reset without a line in the log,
# the probes' too. Where the hard one is infinite (macOS), the system has another that it doesn't tell here.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
if most_files != resource.RLIM_INFINITY:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

settings = load_settings_or_exit()

# Before anything imports prometheus_client, which looks for the directory only then. What an earlier run
# left is wiped here and not in a hook: with preload_app, this run's files are already open by then.
metrics_dir = Path(
    os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    or Path(tempfile.gettempdir()) / f"{settings.service}-metrics-{settings.port}"
)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir)
try:
    metrics_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=metrics_dir).close()
except OSError as unusable:
    exit_for(SettingsError(f"PROMETHEUS_MULTIPROC_DIR: {metrics_dir} can't be written to: {unusable.strerror}"))
# SIGHUP reads this file again, while workers write there.
if os.environ.get("APP_METRICS_OWNER") != str(os.getpid()):
    # By the names that prometheus_client gives them: a database's file may end in .db as well.
    for kind in ("counter", "gauge", "histogram", "summary"):
        for stale in metrics_dir.glob(f"{kind}_*.db"):
            stale.unlink()
    os.environ["APP_METRICS_OWNER"] = str(os.getpid())

from app.cpu_quota import workers_for_container
from app.fork_signals import keep_sigterm_across_fork
from app.gunicorn_logger import JsonLogger
from app.gunicorn_worker import worker_class_with
from app.logs import configure_logging
from app.worker_exits import WorkerExits

configure_logging(service=settings.service, env=settings.env, release=settings.release, level=settings.log_level)

keep_sigterm_across_fork()
worker_exits = WorkerExits()

bind = f"0.0.0.0:{settings.port}"
forwarded_allow_ips = settings.forwarded_allow_ips
workers = settings.web_concurrency or workers_for_container()
worker_class = worker_class_with(request_grace=settings.request_grace)
# The application is imported once, by the arbiter: every further worker starts in milliseconds and shares
# its memory, and an application that can't be imported ends the container instead of a worker.
# Safe here: connections and threads begin after the fork, and prometheus_client opens new files in it.
preload_app = True

graceful_timeout = math.ceil(settings.grace_period)
# A worker whose event loop doesn't turn for this long is replaced.
timeout = 30
# The proxy has to be the one that closes idle connections, or a request meets one that is just being
# closed. Caddy keeps them for 120 s by default, others for less.
keepalive = 130
backlog = 2048

# A root file system that can't be written to, and no second way in.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True

logger_class = JsonLogger
loglevel = settings.log_level.lower()
accesslog = None


def pre_fork(_server: object, _worker: object) -> None:
    """What is imported stays for good: not looking at it again keeps its pages shared by all workers."""
    gc.freeze()
    gc.enable()


def child_exit(_server: object, worker: Any) -> None:
    """A dead worker's gauges go; its counters and histograms stay in the sums."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see metrics_dir

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    worker_exits.count(worker.last_word, timed_out=worker.aborted)
