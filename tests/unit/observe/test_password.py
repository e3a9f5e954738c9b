"""The stack's own passwords, by the script that makes them: what was lost is made again, and who checks it is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from portside.host.script import script_text
from portside.observing import PASSWORD_FILE, Raised
from portside.release import archive

# A stand-in for the Engine, which has no Grafana to run: notes what it is asked, and what `exec` reads.
DOCKER = """#!/bin/sh
echo "$*" >>"$HOME/asked"
case "$1 $2" in
"volume ls") [ ! -e "$HOME/volume" ] || echo portside-observability_grafana ;;
"run --rm") printf 'hash of '; cat ;;
"exec --interactive") cat >"$HOME/given"; [ ! -e "$HOME/broken" ] || { echo "database is locked"; exit 1; } ;;
esac
"""


class Machine:
    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "bin").mkdir()
        (home / "bin/docker").write_text(DOCKER)
        (home / "bin/docker").chmod(0o755)

    def observe(self, component: str = "grafana") -> subprocess.CompletedProcess[str]:
        (self.home / "asked").unlink(missing_ok=True)
        (self.home / "given").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", script_text("observe"), "test", "observability", "30", "-", component],
            env={"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/sbin:/usr/bin:/bin"},
            input=archive({"compose.yaml": "services: {}\n", "env": "A=1\n"}),
            capture_output=True,
            timeout=60,
            check=False,
        )
        (self.home / "volume").touch()
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def file(self) -> Path:
        return self.home / ".portside/observability/secrets/grafana/admin-password"

    @property
    def given(self) -> str:
        """What Grafana was told its password is; "" when it wasn't."""
        file = self.home / "given"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_start_reads_the_file_and_later_ones_leave_it(machine: Machine) -> None:
    first = machine.observe()
    assert first.stdout == machine.file.read_text()
    assert len(first.stdout.strip()) >= 24
    assert machine.file.stat().st_mode & 0o777 == 0o600
    again = machine.observe()
    assert (again.returncode, again.stdout) == (0, ""), "shown once"
    assert machine.given == "", "Grafana read it at its first start"


def test_a_lost_password_is_another_one_that_works(machine: Machine) -> None:
    lost = machine.observe().stdout
    machine.file.unlink()
    found = machine.observe().stdout
    assert found not in ("", lost)
    assert machine.given == found == machine.file.read_text()
    asked = (machine.home / "asked").read_text()
    assert found.strip() not in asked, "no argument is a secret"
    assert asked.index(" up -d") < asked.index("reset-admin-password"), "it takes a Grafana that runs"
    assert machine.observe().stdout == machine.given == ""


def test_a_grafana_that_can_t_be_told_is_told_by_the_next_command(machine: Machine) -> None:
    machine.observe()
    machine.file.unlink()
    (machine.home / "broken").touch()
    failed = machine.observe()
    assert failed.returncode == 75
    assert "database is locked" in failed.stderr
    assert "still wants the lost one" in failed.stderr
    (machine.home / "broken").unlink()
    assert machine.observe().returncode == 0
    assert machine.given == machine.file.read_text()


def test_the_gateway_knows_the_password_that_agents_are_given(machine: Machine) -> None:
    secrets = machine.home / ".portside/observability/secrets"

    def known() -> tuple[str, str]:
        return (secrets / "ingest-password").read_text(), (secrets / "ingest/hash").read_text()

    machine.observe("ingest")
    first = known()
    machine.observe("ingest")
    assert known() == first
    (secrets / "ingest-password").unlink()
    machine.observe("ingest")
    password, hashed = known()
    assert password != first[0]
    assert hashed == f"hash of {password}".rstrip()


def test_a_new_password_is_shown_at_a_terminal_and_nowhere_else() -> None:
    raised = Raised("monitor", ("grafana",), {}, {}, (), "hunter2")
    assert "hunter2, shown this once" in raised.lines(terminal=True)[-1]
    for lines in (raised.lines(terminal=False), Raised("monitor", ("grafana",), {}, {}, (), "").lines(terminal=True)):
        assert lines == [f"Grafana's user is admin, its password is in {PASSWORD_FILE} on monitor."]
    assert "hunter2" not in repr(raised)
