"""One at a time, across tasks and processes: a file lock per name, and notes that expire."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from portside.errors import BuildError

POLL_SECONDS = 0.05


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where locks and notes live: the user's own cache, closed to others."""
    cache = environ.get("XDG_CACHE_HOME")
    folder = (Path(cache) if cache else Path.home() / ".cache") / "portside"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@asynccontextmanager
async def turn(name: str, *, folder: Path, timeout: float) -> AsyncIterator[None]:
    """Hold the lock called `name`. The kernel lets go of it when this process ends, however it ends."""
    handle = os.open(_file(name, folder, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while not _locked(handle):
            if time.monotonic() > deadline:
                raise BuildError(
                    f"another process has been busy with {name} for {timeout:g} s",
                    where="this machine",
                    remedy="Wait for it, or end it, and try again.",
                )
            await asyncio.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def note(name: str, text: str, *, folder: Path) -> None:
    """Remember `text` under `name` for `noted`."""
    _file(name, folder, "note").write_text(text)


def noted(name: str, *, folder: Path, seconds: float) -> str:
    """What was noted under `name` less than `seconds` ago; empty otherwise."""
    path = _file(name, folder, "note")
    try:
        return path.read_text() if time.time() - path.stat().st_mtime < seconds else ""
    except FileNotFoundError:
        return ""


def _file(name: str, folder: Path, kind: str) -> Path:
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.{kind}"


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
