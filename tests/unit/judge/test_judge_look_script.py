"""What the judge's script counts on a host; the Docker Engine is a stand-in."""

from __future__ import annotations

import os
from pathlib import Path

from portside.host.local import LocalHost
from portside.host.script import script_argv

# The file `containers` has the new release's: id and service. Each has logged one error.
ENGINE = """#!/bin/sh
case "$1" in
ps) cat "$HOME/containers" ;;
inspect) while read -r id service; do echo "$id /$id $service 2026-11-23T15:45:01Z "; done <"$HOME/containers" ;;
logs) echo "level error" ;;
esac
"""
OLD, NEW = ("-",) * 5, ("green", "r2", "web", "8000", "/readiness")


async def test_a_worker_that_starts_after_the_canary_is_counted_too(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(ENGINE)
    (tmp_path / "bin/docker").chmod(0o755)
    (tmp_path / "containers").write_text("c1 web\n")
    script = script_argv("look", "links-prod", "/metrics", "x", "error", "600", *OLD, *NEW)
    channel = await LocalHost().open(["env", f"HOME={tmp_path}", f"PATH={tmp_path}/bin:{os.defpath}", *script])
    counted = []
    for started in ("c1 web\n", "c1 web\nc2 worker\n"):
        (tmp_path / "containers").write_text(started)
        await channel.send(b"new new-lines\n")
        said = (await channel.read_until(b"@@end\n", 15)).decode()
        counted.append(said.partition("@@lines new ")[2].split()[0])
    await channel.close()
    assert counted == ["1", "2"]
