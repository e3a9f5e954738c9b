"""A host's hook step where its Engine refuses to remove a container: a stand-in, as none does so when it is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from portside.host.script import script_text
from tests.unit.test_markers import Machine

REFUSING = """#!/bin/sh
[ "$1" != rm ] || [ ! -e "$RAN" ] || { echo "driver failed to remove root filesystem" >&2; exit 1; }
"""
COMPOSE = """#!/bin/sh
touch "$RAN"; echo "what the hook said"; exit "$CODE"
"""
STEP = ("1", '{"begin":1}', '{"end":1}', "20261126-120000-abcdef", "web", "5", "migrate")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (3, "the before-switch hook ended with exit code 3"),
        (0, "the before-switch hook ended well, but its container is still there"),
    ],
)
def test_what_became_of_the_hook_is_said_where_its_container_stays(tmp_path: Path, code: int, expected: str) -> None:
    machine = Machine(tmp_path)
    (machine.home / "bin/docker").write_text(REFUSING)
    machine.composes(COMPOSE)
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "RAN": str(tmp_path / "ran"),
        "CODE": str(code),
    }
    done = subprocess.run(
        ["bash", "-c", script_text("hook"), "hook", "links-prod", *STEP],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 75
    assert "what the hook said" in done.stderr
    assert "could not be removed: driver failed to remove root filesystem" in done.stderr
    assert expected in done.stderr
    assert "begin" in (machine.site / "journal.jsonl").read_text()
    assert "end" not in (machine.site / "journal.jsonl").read_text()
