"""What the judge's script counts on a host; the Docker Engine is a stand-in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portside.host.base import Channel
from portside.host.local import LocalHost
from portside.host.script import script_argv

# The file `containers` has the new release's: id and service. Each has logged one error, and is at 127.0.0.1, where
# nothing listens. An `inspect` names as many of them as the file `fails` says, and fails; without the file it doesn't.
ENGINE = """#!/bin/sh
case "$1" in
ps) cat "$HOME/containers" ;;
inspect)
  known=$(cat "$HOME/fails" 2>/dev/null || echo 99)
  head -n "$known" "$HOME/containers" | while read -r id service; do
    echo "$id /$id $service 2026-11-23T15:45:01Z 127.0.0.1"
  done
  [ ! -e "$HOME/fails" ]
  ;;
logs) echo "level error" ;;
esac
"""
OLD, NEW = ("-",) * 5, ("green", "r2", "web", "8000", "/readiness")


@pytest.fixture
async def looking(tmp_path: Path) -> AsyncIterator[Channel]:
    """The script, open. It asks the Engine in `tmp_path`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(ENGINE)
    (tmp_path / "bin/docker").chmod(0o755)
    (tmp_path / "containers").write_text("c1 web\n")
    script = script_argv("look", "links-prod", "/metrics", "x", "error", "600", *OLD, *NEW)
    channel = await LocalHost().open(["env", f"HOME={tmp_path}", f"PATH={tmp_path}/bin:{os.defpath}", *script])
    yield channel
    await channel.close()


async def look(channel: Channel) -> str:
    await channel.send(b"new new-lines\n")
    return (await channel.read_until(b"@@end\n", 15)).decode()


async def test_a_worker_that_starts_after_the_canary_is_counted_too(tmp_path: Path, looking: Channel) -> None:
    counted = []
    for started in ("c1 web\n", "c1 web\nc2 worker\n"):
        (tmp_path / "containers").write_text(started)
        counted.append((await look(looking)).partition("@@lines new ")[2].split()[0])
    assert counted == ["1", "2"]


@pytest.mark.parametrize("named", [0, 1])
async def test_an_engine_that_fails_once_hides_no_container_from_the_next_look(
    tmp_path: Path, looking: Channel, named: int
) -> None:
    (tmp_path / "containers").write_text("c1 web\nc2 web\n")
    (tmp_path / "fails").write_text(str(named))
    await look(looking)
    (tmp_path / "fails").unlink()
    said = await look(looking)
    assert [line.split()[2] for line in said.splitlines() if line.startswith("@@container new")] == ["c1", "c2"]
    assert said.partition("@@lines new ")[2].split()[0] == "2"
