"""Bitwarden's own `bw`: fetched once into the cache, each of its packages by the hash in tests/stores/bw."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from portside.command import run_command
from portside.image.turns import state_folder, turn
from tests.lab.notrun import NOT_RUN

LOCKED = Path(__file__).parents[1] / "stores/bw"
FETCH_SECONDS = 300.0


async def ensure_bw() -> Path:
    """The folder that has it. Where there is no Node.js the test is not run, and says so."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip(f"{NOT_RUN}node and npm, for Bitwarden's bw, are not installed")
    files = (LOCKED / "package.json", LOCKED / "package-lock.json")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    tools = state_folder(os.environ) / "tools"
    async with turn("the tool bw", folder=state_folder(os.environ), timeout=FETCH_SECONDS):
        if not (tools / f"bw-{digest}").exists():
            await _fetch(tools, f"bw-{digest}", files)
    return tools / f"bw-{digest}/node_modules/.bin"


async def _fetch(tools: Path, name: str, files: tuple[Path, ...]) -> None:
    work = tools / f"{name}.new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)
    for file in files:
        shutil.copy(file, work)
    argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    (await run_command(argv, timeout=FETCH_SECONDS, cwd=work)).check("Bitwarden's bw could not be fetched")
    work.rename(tools / name)
