"""The worker role deletes what has expired, and stops when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import heartbeat, worker
from app.links.store import LinkNotFoundError, LinkStore

ROOT = Path(__file__).parents[3]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def add(links: LinkStore, slug: str, *, expires_in: float | None) -> None:
    expires_at = NOW + timedelta(seconds=expires_in) if expires_in is not None else None
    await links.create(url="https://example.com", slug=slug, expires_at=expires_at, now=NOW)


@pytest.fixture
def links(app: Any) -> LinkStore:
    store: LinkStore = app.state.links
    return store


async def test_only_expired_links_are_deleted(links: LinkStore) -> None:
    await add(links, "over", expires_in=-1)
    await add(links, "right-now", expires_in=0)
    await add(links, "later", expires_in=1)
    await add(links, "for-ever", expires_in=None)
    assert await worker.sweep(links, now=lambda: NOW, stopping=asyncio.Event()) == 2
    assert {link.slug for link in await links.newest(limit=10, after_id=None)} == {"later", "for-ever"}


async def test_a_backlog_is_deleted_in_batches(links: LinkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BATCH", 2)
    for number in range(5):
        await add(links, f"over-{number}", expires_in=-1)
    assert await worker.sweep(links, now=lambda: NOW, stopping=asyncio.Event()) == 5


async def test_a_failing_round_is_logged_and_the_next_one_tried(
    links: LinkStore, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    await add(links, "over", expires_in=-1)
    stopping = asyncio.Event()
    rounds = 0

    class FailsOnce(LinkStore):
        def __init__(self) -> None:
            pass

        async def delete_expired(self, *, now: datetime, at_most: int) -> int:
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                raise RuntimeError("first")
            stopping.set()
            return 0

    await worker.sweep_until(stopping, FailsOnce(), every=0.01)
    assert rounds == 2
    assert [line["exception.message"] for line in log_lines() if line["level"] == "error"] == ["first"]
    with pytest.raises(LinkNotFoundError):
        await links.get("unknown")


class Slow(LinkStore):
    """A database that keeps a batch waiting for as long as `until` does."""

    def __init__(self, until: Callable[[], Awaitable[None]]) -> None:
        self._until = until

    async def delete_expired(self, *, now: datetime, at_most: int) -> int:
        async with asyncio.timeout(20):
            await self._until()
        return 0


@pytest.fixture
def beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The heartbeat's file, which is touched a hundred times a second."""
    monkeypatch.setenv("HEARTBEAT_FILE", str(tmp_path / "beat"))
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    return tmp_path / "beat"


async def test_a_worker_that_waits_for_a_database_is_alive(beat: Path) -> None:
    async def beaten_again() -> None:
        for _ in range(3):
            beat.unlink(missing_ok=True)
            while not beat.exists():
                await asyncio.sleep(0.001)

    assert await worker.sweep(Slow(beaten_again), now=lambda: NOW, stopping=asyncio.Event()) == 0


async def test_a_worker_that_waits_for_ever_is_not(beat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.05)

    async def given_up() -> None:
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        beat.unlink()

    await worker.sweep(Slow(given_up), now=lambda: NOW, stopping=asyncio.Event())
    assert not beat.exists()


@pytest.mark.slow
def test_the_process_logs_json_beats_and_stops_promptly_on_sigterm(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    beat = tmp_path / "beat"
    env = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path),
        "SWEEP_INTERVAL": "3600",
        "HEARTBEAT_FILE": str(beat),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app.worker"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(beat.exists)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert err == b""
    assert [json.loads(line)["message"] for line in out.splitlines()][-1] == "stopped"


def test_a_heartbeat_goes_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = tmp_path / "beat"
    monkeypatch.setenv("HEARTBEAT_FILE", str(beat))
    assert not heartbeat.is_fresh()
    heartbeat.beat()
    assert heartbeat.is_fresh()
    long_ago = time.time() - heartbeat.STALE_AFTER - 1
    os.utime(beat, (long_ago, long_ago))
    assert not heartbeat.is_fresh()
