"""Tools for checks: what is on PATH is taken when it is new enough; where there is none, the error says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.errors import PortsideError
from portside.tools import PROMTOOL, ensure_tool


def program(folder: Path, version: str) -> Path:
    path = folder / "promtool"
    path.write_text(f"#!/bin/sh\necho 'promtool, version {version} (branch: HEAD)'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH without apt-get, and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def test_a_program_on_path_is_taken(tmp_path: Path) -> None:
    said: list[str] = []
    newest = program(tmp_path, "3.14.0")
    assert await ensure_tool(PROMTOOL, said.append) == newest
    assert said == []


async def test_one_that_is_too_old_is_not(tmp_path: Path) -> None:
    program(tmp_path, "2.53.5+ds1")
    with pytest.raises(PortsideError, match=r"promtool 3\.5 or newer is needed"):
        await ensure_tool(PROMTOOL, print)


async def test_where_it_can_t_be_had_the_error_says_where_it_is() -> None:
    with pytest.raises(PortsideError) as caught:
        await ensure_tool(PROMTOOL, print)
    assert "no Debian or Ubuntu machine" in caught.value.why
    assert "https://prometheus.io/download/" in caught.value.remedy
