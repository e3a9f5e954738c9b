"""A host's start step: what it asks Compose to start. A stand-in for Compose writes down how it is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

from portside.host.script import script_text
from tests.unit.test_markers import Machine

COMPOSE = """#!/bin/sh
echo "$*" >"$HOME/asked"
exit 1
"""
STEP = ("1", '{"begin":1}', '{"end":1}', "green", "r2", "-", "5", "8000", "/readiness", "web", "mailer")


def test_only_the_services_that_start_first_are_started_whatever_they_depend_on(tmp_path: Path) -> None:
    Machine(tmp_path)
    plugin = tmp_path / ".docker/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(COMPOSE)
    plugin.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script_text("start"), "start", "links-prod", *STEP],
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "docker compose could not start release r2" in done.stderr
    asked = (tmp_path / "asked").read_text().split()
    assert "--no-deps" in asked
    assert asked[-2:] == ["web", "mailer"]
