"""What the script that hardens a host does to files: the real one, on a folder in place of the machine."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from portside.bootstrap import Step
from portside.hardening import daemon, keys
from portside.hardening.plan import Hardening, hardened
from portside.hardening.posture import Posture
from portside.host.script import script_text

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAda"
KEY = f"{PUBLIC} ada@laptop"
OTHER = "ssh-rsa AAAAB3Bob bob@laptop"
PROXIED = '{"proxies": {"https-proxy": "http://u:canary@proxy:3128"}}'
# Refuses every file, and says first who could have read it.
DOCKERD = """#!/bin/sh
stat -c 'mode %a' "$3" >&2
cat "$3" >"$HOME/validated"
exit 1
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / ".ssh/authorized_keys"
        self.keys.parent.mkdir()
        (folder / "bin").mkdir()
        for name, text in {"dockerd": DOCKERD, "getent": f"#!/bin/sh\necho deploy:x:1:1::{folder}:\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)

    @property
    def daemon(self) -> Path:
        return self.folder / "docker/daemon.json"

    def run(self, *step: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        text = script_text("harden").replace(daemon.FILE, str(self.daemon)).replace("/run/", f"{self.folder}/")
        return subprocess.run(
            ["bash", "-c", text, "portside-harden", *step],
            env={"HOME": str(self.folder), "PATH": f"{self.folder}/bin:/usr/bin:/bin"},
            input=stdin, capture_output=True, check=False, text=True,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_new_daemon_json_is_for_nobody_else_to_read_before_it_is_judged(machine: Machine) -> None:
    before = hashlib.sha256(b"").hexdigest()
    done = machine.run("daemon", before, "reload", "1", "/dev/null", stdin=PROXIED)
    assert "mode 600" in done.stderr
    assert "nothing was changed" in done.stderr
    assert (machine.folder / "validated").read_text() == PROXIED
    assert list(machine.daemon.parent.iterdir()) == []


def test_a_daemon_json_that_did_not_arrive_changes_nothing(machine: Machine) -> None:
    done = machine.run("daemon", hashlib.sha256(b"").hexdigest(), "reload", "1", "/dev/null")
    assert "did not arrive" in done.stderr
    assert not (machine.folder / "validated").exists()
    assert list(machine.daemon.parent.iterdir()) == []


def key_steps(machine: Machine) -> list[Step]:
    """What a bootstrap makes of the keys that are there, which reach it as text (portside/hardening/look.py)."""
    told = machine.keys.read_bytes().decode(errors="replace").splitlines()
    posture = Posture(home="/home/deploy", keys=tuple(each for text in told if (each := keys.parse(text))))
    steps, _ = hardened(posture, Hardening(user="deploy", key=KEY, login="root"), "web-1")
    return [step for step in steps if step.name == "key_options"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("comment", ["ada@laptop", "Jos\xe9", "two \u2028 lines", "", " "])
def test_a_key_s_line_is_replaced_whatever_ends_it(machine: Machine, comment: str, end: str) -> None:
    encoding = "latin-1" if comment == "Jos\xe9" else "utf-8"
    machine.keys.write_bytes(f"{OTHER}{end}{PUBLIC} {comment}{end}".encode(encoding))
    (step,) = key_steps(machine)
    done = machine.run(step.name, *step.arguments)
    assert done.returncode == 0, done.stderr
    assert machine.keys.read_bytes() == f"{OTHER}{end}{step.arguments[-1]}\n".encode()
    assert key_steps(machine) == []


def test_a_key_that_is_there_more_than_once_is_one_step(machine: Machine) -> None:
    machine.keys.write_text(f"{KEY}\n{OTHER}\n{KEY}\n{PUBLIC} ada@desktop\n{PUBLIC}AAA other@laptop\n")
    (step,) = key_steps(machine)
    new = step.arguments[-1]
    for _ in range(2):  # every step may be repeated
        done = machine.run(step.name, *step.arguments)
        assert done.returncode == 0, done.stderr
        assert machine.keys.read_text() == f"{new}\n{OTHER}\n{new}\n{new}\n{PUBLIC}AAA other@laptop\n"


def test_a_key_s_line_that_is_no_longer_there_is_an_error(machine: Machine) -> None:
    machine.keys.write_text(f"{OTHER}\n")
    done = machine.run("key_options", "deploy", KEY, f"restrict {KEY}")
    assert done.returncode != 0
    assert "changed meanwhile" in done.stderr
    assert machine.keys.read_text() == f"{OTHER}\n"
    assert [path.name for path in machine.keys.parent.iterdir()] == ["authorized_keys"]
