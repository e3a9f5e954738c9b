"""What the script that makes hosts sees of a machine: the real one, with a folder in place of the machine's files."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from portside.bootstrap import Facts, Wish, needed, parse_facts
from portside.errors import PreflightError
from portside.host.script import script_text

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIAda"
TOOLS = ("cat", "cut", "grep", "id", "install", "mv", "rm", "sed", "sha256sum", "sleep", "stat", "timeout")
DOCKER = """#!/bin/sh
case "$*" in version*) echo 28.4.0 ;; "compose version"*) echo 2.39.1 ;; esac
"""
# Whatever is in force lies in a file.
NFT = """#!/bin/sh
case "$1" in
--check) ! grep -q wrong "$3" ;;
--file) cat "$2" >"$HOME/in-force" ;;
esac
"""


class Machine:
    """Nothing is installed on it but what is said; all of it runs as it would in /."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / ".ssh/authorized_keys"
        self.unit = folder / "portside-firewall.service"
        self.rules = folder / "firewall.nft"
        (folder / "bin").mkdir()
        (folder / "systemd").mkdir()
        self.keys.parent.mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
        self.has("getent", f"#!/bin/sh\necho deploy:x:1:1::{folder}:\n")
        self.has("systemctl", "#!/bin/sh\n")

    def has(self, program: str, text: str) -> None:
        (self.folder / "bin" / program).write_text(text)
        (self.folder / "bin" / program).chmod(0o755)

    def run(self, *step: str, code: int = 0) -> str:
        """What a step prints; where it is to end with another code, what it says is wrong."""
        text = (
            script_text("bootstrap")
            .replace(":/usr/sbin:/sbin", "")
            .replace("/run/systemd/system", f"{self.unit.parent}/systemd")
        )
        for path, here in {
            "/etc/systemd/system/portside-firewall.service": self.unit,
            "/etc/portside/firewall.nft": self.rules,
        }.items():
            text = text.replace(path, str(here))
        done = subprocess.run(
            [str(shutil.which("bash")), "-c", text, "portside-bootstrap", *step],
            env={"HOME": str(self.folder), "PATH": f"{self.folder}/bin"},
            capture_output=True, check=False, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def facts(self) -> Facts:
        return parse_facts(self.run("look", "deploy", KEY), "web-1")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (f"ssh-ed25519 {KEY} ada@laptop\n", True),
        (f"# mine\nrestrict ssh-ed25519 {KEY}\n", True),
        (f"#ssh-ed25519 {KEY} ada@laptop\n", False),
        (f"  # ssh-ed25519 {KEY}\nssh-ed25519 AAAABob bob\n", False),
        ("", False),
    ],
)
def test_a_key_that_is_only_remembered_in_a_comment_is_not_let_in(machine: Machine, text: str, there: bool) -> None:
    machine.keys.write_text(text)
    assert machine.facts().key is there


def test_a_docker_of_no_package_is_refused_and_said_how_to_mend(machine: Machine) -> None:
    machine.has("docker", DOCKER)
    facts = machine.facts()
    assert (facts.engine, facts.installed, facts.compose) == ("28.4.0", "", "2.39.1")
    with pytest.raises(PreflightError, match="comes from no package") as refused:
        needed(facts, Wish(user="deploy", key=f"ssh-ed25519 {KEY}"), "web-1")
    assert "snap remove docker" in refused.value.remedy
    machine.has("dockerd", "#!/bin/sh\necho 'Docker version 28.4.0, build 1'\n")
    assert (machine.facts().foreign, machine.facts().installed) == ("", "28.4.0")


def test_the_firewall_comes_after_whoever_flushes_all_tables_and_an_older_unit_is_replaced(machine: Machine) -> None:
    machine.has("nft", "#!/bin/sh\n")
    machine.rules.with_name("firewall.nft.new").write_text("table inet portside {}\n")
    machine.run("firewall_keep")
    unit = dict(line.split("=", 1) for line in machine.unit.read_text().splitlines() if line[:1].isalpha())
    assert unit["After"].split() == ["local-fs.target", "nftables.service"]
    # Its own ordering and no other, else it would wait for cloud-init, which waits for the network, which waits for it.
    assert (unit["DefaultDependencies"], unit["Before"]) == ("no", "network-pre.target shutdown.target")
    assert machine.facts().firewall
    machine.unit.write_text(machine.unit.read_text().replace(" nftables.service\n", "\n"))
    assert not machine.facts().firewall


@pytest.mark.slow
def test_the_end_of_a_firewall_s_trial_is_no_later_trial_s(machine: Machine) -> None:
    """Whoever types it again within half a minute had the new rules taken away by the timer of the old ones."""
    machine.has("nft", "#!/bin/sh\n")
    on_trial = Path(f"{machine.rules}.new")
    machine.run("firewall", "of the first", "3")
    machine.run("firewall_keep")
    machine.run("firewall", "of the second", "20")
    time.sleep(3.5)
    assert on_trial.read_text() == "of the second"
    machine.run("firewall_keep")
    assert machine.rules.read_text() == "of the second"
    machine.run("firewall", "of the third", "0.1")
    until = time.monotonic() + 20
    while on_trial.exists():
        assert time.monotonic() < until, "one that nobody ends is taken away"
        time.sleep(0.05)
    assert machine.rules.read_text() == "of the second"


def test_rules_that_nft_refuses_are_nowhere(machine: Machine) -> None:
    machine.has("nft", NFT)
    assert "nft refuses the rules" in machine.run("firewall", "wrong", "30", code=75)
    assert "taken away meanwhile" in machine.run("firewall_keep", code=75)
    assert not machine.rules.exists() and not (machine.folder / "in-force").exists()


@pytest.mark.slow
def test_rules_on_trial_are_nobody_else_s_to_replace(machine: Machine) -> None:
    """Else whoever comes second would make them permanent, or leave them in force with nobody to take them away."""
    machine.has("nft", NFT)
    machine.rules.write_text("of before")
    machine.run("firewall", "of the first", "15")
    for rules in ("of the second", "wrong"):
        assert "somebody else's settings are on trial" in machine.run("firewall", rules, "15", code=75)
    in_force = machine.folder / "in-force"
    assert in_force.read_text() == "of the first"
    until = time.monotonic() + 60
    while in_force.read_text() != "of before":
        assert time.monotonic() < until, "those that nobody keeps are taken away"
        time.sleep(0.05)
