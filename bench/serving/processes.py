"""A server under measurement: started on its cores, asked what processor time it used, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.serving.paths import READ, SLUG
from portside.command import tail
from portside.errors import CommandError

REPOSITORY = Path(__file__).parents[2]
WORKERS = 2
START_SECONDS = 30.0
STOP_SECONDS = 15.0
ANSWER_SECONDS = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: its name, and the command that serves `port`."""

    name: str
    argv: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        return [sys.executable, "-m", *(word.format(port=port) for word in self.argv)]


PRODUCTION = Side("production", ("app.web", "-c", "app/gunicorn.conf.py", "bench.serving.production:app"))
BARE = Side(
    "bare Uvicorn",
    (
        *("uvicorn", "bench.serving.bare:app", "--port={port}", f"--workers={WORKERS}"),
        *("--no-access-log", "--loop=uvloop", "--http=httptools", "--log-level=warning"),
    ),
)


@dataclass(frozen=True)
class Server:
    """A side that runs."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def processor_seconds(self) -> float:
        """Of its processes that live, in user and kernel mode, since their start."""
        return sum(_processor_seconds(pid) for pid in _family(self.process.pid))

    def scrape(self) -> tuple[float, int]:
        """Seconds that /metrics took, and its bytes."""
        began = time.perf_counter()
        body = _ask(f"{self.url}/metrics")
        return time.perf_counter() - began, len(body)


@contextmanager
def served(side: Side, *, cores: set[int], reader_cores: set[int]) -> Iterator[Server]:
    """`side` on `cores` with a database of its own; its lines are read by another process, as Docker does.

    Raises CommandError when it doesn't start.
    """
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as home:
        errors = Path(home) / "errors"
        with errors.open("wb") as stderr:
            port = _free_port()
            process = subprocess.Popen(
                side.command(port),
                cwd=REPOSITORY,
                env=_environment(home, port),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            os.sched_setaffinity(process.pid, cores)
            reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            os.sched_setaffinity(reader.pid, reader_cores)
            assert process.stdout is not None  # noqa: S101
            process.stdout.close()
        try:
            server = Server(process, port)
            _wait_until_serving(server, side, errors)
            yield server
        finally:
            _stop(process)
            _stop(reader)


def _environment(home: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "PORT": str(port),
        "DATA_DIR": home,
        "TMPDIR": home,
        "WEB_CONCURRENCY": str(WORKERS),
        "APP_ENV": "bench",
        "APP_RELEASE": "20260101-120000-0123456789ab",
    }


def _wait_until_serving(server: Server, side: Side, errors: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise CommandError(f"{side.name} did not start", where="bench", why=tail(errors.read_bytes()))
        try:
            _ask(f"{server.url}/links")
            break
        except (URLError, OSError):
            time.sleep(0.05)
    body = f'{{"url": "https://example.com", "slug": "{SLUG}"}}'.encode()
    _ask(f"{server.url}/links", body)
    _ask(server.url + READ)


def _ask(url: str, body: bytes | None = None) -> bytes:
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - always http
    with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
        read: bytes = answer.read()
        return read


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return
    for child in children.split():
        yield from _family(int(child))


def _processor_seconds(pid: int) -> float:
    try:
        # Behind the program's name, which may hold spaces: state is field 3, utime 14, stime 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cores() -> tuple[set[int], set[int]]:
    """Which ones serve, and which ones send requests. Raises CommandError with a single one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise CommandError(
            "one core can't serve and send requests at the same time",
            where="bench",
            remedy="run it where two cores are usable",
        )
    middle = min(len(usable) // 2, WORKERS)
    return set(usable[:middle]), set(usable[middle:])
