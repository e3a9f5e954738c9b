"""The scripts that run on a host are checked as the host gets them: library first, then the script."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from portside.host.script import SCRIPTS, script_text


@pytest.fixture(scope="module")
def shellcheck() -> str:
    """Its version. What it found nothing in, it needn't see again: fifty scripts take it twenty seconds."""
    return subprocess.run(["shellcheck", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_shellcheck_finds_nothing(name: str, shellcheck: str, cache: pytest.Cache) -> None:
    text = script_text(name)
    seen = hashlib.sha256(f"{shellcheck}{text}".encode()).hexdigest()
    if cache.get(f"shellcheck/{name}", "") == seen:
        return
    checked = subprocess.run(
        ["shellcheck", "--shell=bash", "-"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stdout
    cache.set(f"shellcheck/{name}", seen)
