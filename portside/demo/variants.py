"""Changes of the service, made in a copy of its tree: one that a user sees, one that brings it down."""

from __future__ import annotations

import shutil
from pathlib import Path

from portside.config import Config
from portside.errors import ConfigError

# What the Dockerfile starts: module `app.asgi`, attribute `app`.
ENTRY = Path("app/asgi.py")
GREETING = ("x-greeting", "hello from the second release")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".nox", ".portside", ".env*", "__pycache__", ".*_cache", ".hypothesis", "node_modules"
)

CHANGED = f"""

# Added by `invoke demo`: a change that everybody can see.
_unchanged = app


async def app(scope, receive, send):
    async def greet(message):
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], ({GREETING[0].encode()!r}, {GREETING[1].encode()!r})]
        await send(message)

    await _unchanged(scope, receive, greet)
"""

# Probes don't count, so that the release passes every gate; the drain lets requests under way end, so that
# whatever fails in the demo fails because of the release protocol.
BROKEN_HEAD = """import os

os.environ.setdefault("DRAIN_DELAY", "1")

"""
BROKEN_TAIL = """

# Added by `invoke demo`: two seconds after its first request the service takes itself down.
import signal
import threading
import time

_healthy = app
_doomed = threading.Event()


def _give_up():
    from loguru import logger

    os.kill(os.getppid(), signal.SIGTERM)
    # Said once the last requests are answered, so that it is among the last lines of the log.
    time.sleep(0.9)
    logger.critical("broken on purpose by `invoke demo`: this process ends now")


async def app(scope, receive, send):
    probes = ("/health", "/readiness", "/metrics")
    if scope["type"] == "http" and scope["path"] not in probes and not _doomed.is_set():
        _doomed.set()
        threading.Timer(2.0, _give_up).start()
    await _healthy(scope, receive, send)
"""


def changed_tree(config: Config, folder: Path) -> Config:
    """A copy of the tree in `folder` whose every answer carries GREETING; the configuration to build it."""
    copy, source = _copied(config, folder)
    return _written(copy, source.rstrip() + CHANGED)


def broken_tree(config: Config, folder: Path) -> Config:
    """A copy of the tree in `folder` that passes every gate and ends two seconds after its first real request."""
    copy, source = _copied(config, folder)
    return _written(copy, _after_future_import(source, BROKEN_HEAD).rstrip() + BROKEN_TAIL)


def _copied(config: Config, folder: Path) -> tuple[Config, str]:
    context = config.root / config.build.context
    entry = context / ENTRY
    if not entry.is_file():
        raise ConfigError(
            "the demo changes the service's entry point, and can't find it",
            where=str(entry),
            remedy="The demo is of the service that this repository came with.",
        )
    shutil.copytree(context, folder, ignore=LEFT_OUT)
    dockerfile = folder / "Dockerfile"
    if not dockerfile.exists():
        shutil.copy2(config.root / config.build.dockerfile, dockerfile)
    build = config.build.model_copy(update={"context": Path(), "dockerfile": Path("Dockerfile")})
    return config.model_copy(update={"root": folder, "build": build}), entry.read_text()


def _written(copy: Config, source: str) -> Config:
    (copy.root / ENTRY).write_text(source)
    return copy


def _after_future_import(source: str, head: str) -> str:
    """`source` with `head` before its first statement that isn't a docstring or a future import."""
    marker = "from __future__ import annotations\n"
    before, found, after = source.partition(marker)
    return f"{before}{found}\n{head}{after}" if found else f"{head}{source}"
