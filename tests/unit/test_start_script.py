"""A host's start step: what it asks Compose and the Engine for. Stand-ins for both write down how they are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

from portside.host.script import script_text
from tests.unit.test_markers import Machine

COMPOSE = """#!/bin/sh
echo "compose $*" >>"$HOME/asked"
exit 1
"""
DOCKER = """#!/bin/sh
echo "docker $*" >>"$HOME/asked"
"""


def asked(home: Path, misnumbered: str) -> list[str]:
    """What a start with the containers `misnumbered` in its way asks for, until Compose refuses."""
    Machine(home).composes(COMPOSE)
    (home / "bin/docker").write_text(DOCKER)
    step = ("1", '{"begin":1}', '{"end":1}', "green", "r2", "-", "5", "8000", "/readiness", misnumbered)
    done = subprocess.run(
        ["bash", "-c", script_text("start"), "start", "links-prod", *step, "web", "mailer"],
        env={"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "docker compose could not start release r2" in done.stderr
    return (home / "asked").read_text().splitlines()


def test_only_the_services_that_start_first_are_started_whatever_they_depend_on(tmp_path: Path) -> None:
    first, *_ = asked(tmp_path, "")
    assert "--no-deps" in first.split()
    assert first.split()[-2:] == ["web", "mailer"]


def test_what_is_in_the_way_ends_gently_before_compose_looks(tmp_path: Path) -> None:
    stopped, removed, started, *_ = asked(tmp_path, "one two")
    assert (stopped, removed) == ("docker stop one two", "docker rm -f one two")
    assert started.startswith("compose ")
