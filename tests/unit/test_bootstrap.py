"""Which steps a machine needs, as a value; and what is refused before anything is done."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from portside import bootstrap
from portside.bootstrap import Facts, Wish, firewall_rules, needed, parse_facts
from portside.config import Environment
from portside.errors import ConfigError, HostError, PreflightError
from portside.machines import chosen, public_key

KEY = asyncssh.generate_private_key("ssh-ed25519", comment="ada@laptop").export_public_key().decode().strip()
WISH = Wish(user="deploy", key=KEY)
TRIXIE = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}
FRESH = Facts(os_release=TRIXIE, systemd=True, ssh_ports=frozenset({22}))
DONE = Facts(
    os_release=TRIXIE, systemd=True, installed="26.1.5+dfsg1", engine="26.1.5+dfsg1", compose="2.26.1-4",
    at_boot=True, user=True, group=True, key=True, folder=True, ssh_ports=frozenset({22}), nft=True,
)  # fmt: skip


def steps(facts: Facts, wish: Wish = WISH) -> list[str]:
    return [step.name for step in needed(facts, wish, "web-1")]


def test_a_fresh_machine_needs_everything_but_a_firewall() -> None:
    assert steps(FRESH) == ["packages", "engine", "user", "key", "folder"]


def test_a_key_is_let_in_with_what_its_options_leave_it() -> None:
    wish = replace(WISH, options="restrict", may="releases and no more")
    (step,) = needed(replace(DONE, key=False), wish, "web-1")
    assert step.arguments == ("deploy", f"restrict {KEY}")
    assert step.what == "let the key ada@laptop log in as deploy, for releases and no more"


def test_a_finished_host_needs_nothing() -> None:
    assert steps(DONE) == []


def test_only_what_is_missing_is_done() -> None:
    assert steps(replace(DONE, key=False)) == ["key"]
    assert steps(replace(DONE, group=False)) == ["user"]
    assert steps(replace(DONE, at_boot=False)) == ["engine"]
    assert steps(replace(DONE, engine="")) == ["engine"]


def test_without_systemd_nothing_can_be_enabled_at_boot() -> None:
    assert steps(replace(DONE, systemd=False, at_boot=False)) == []


def test_bookworms_own_engine_is_replaced_by_a_pinned_newer_one() -> None:
    bookworm = replace(FRESH, os_release={"ID": "debian", "VERSION_ID": "12"}, installed="20.10.24+dfsg1")
    packages = needed(bookworm, replace(WISH, mirror="http://mirror.example/debian"), "web-1")[0]
    assert "docker.io/trixie" in packages.arguments
    files = packages.arguments[packages.arguments.index("--") + 1 :]
    assert "/etc/apt/preferences.d/portside-trixie" in files
    assert any("Pin-Priority: 100" in text for text in files)
    assert any("http://mirror.example/debian" in text for text in files)


def test_dockers_own_packages_are_never_mixed_with_the_distributions() -> None:
    with pytest.raises(PreflightError, match="docker-ce") as refused:
        steps(replace(FRESH, foreign="docker-ce", installed="24.0.1", compose="2.18.0"))
    assert "docker-compose-plugin" in refused.value.remedy


def test_another_system_is_left_to_its_owner_but_may_have_docker_already() -> None:
    fedora = {"ID": "fedora", "PRETTY_NAME": "Fedora Linux 43"}
    with pytest.raises(PreflightError, match="Fedora Linux 43"):
        steps(replace(FRESH, os_release=fedora))
    assert steps(replace(DONE, os_release=fedora)) == []


def test_a_firewall_keeps_the_port_that_ssh_uses() -> None:
    odd = replace(DONE, ssh_ports=frozenset({2222}))
    (step,) = needed(odd, replace(WISH, ports=(80, 443)), "web-1")
    assert "tcp dport { 80, 443, 2222 } accept" in step.arguments[0]


def test_a_firewall_is_refused_when_the_port_of_ssh_is_unknown() -> None:
    with pytest.raises(PreflightError, match="lock everybody out"):
        steps(replace(DONE, ssh_ports=frozenset()), replace(WISH, ports=(80, 443)))


def test_an_active_ufw_is_used_and_gets_no_second_firewall_beside_it() -> None:
    (step,) = needed(replace(DONE, ufw=True, ufw_ports=frozenset({22, 80})), replace(WISH, ports=(80, 443)), "web-1")
    assert (step.name, step.arguments) == ("ufw_allow", ("443",))


def test_what_the_owner_opens_to_some_is_not_opened_to_all() -> None:
    """Nor is SSH's port, by which we came."""
    said = "uid 0\nssh_port 22\nufw active\nufw_port 80,443\nufw_port 8000:8002\n"
    facts = parse_facts(said, "web-1")
    assert facts.ufw_ports == {80, 443, 8000, 8001, 8002}
    mine = replace(DONE, ufw=True, ufw_ports=facts.ufw_ports, ssh_ports=facts.ssh_ports)
    assert needed(mine, replace(WISH, ports=(80, 443, 8001)), "web-1") == ()


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("22/tcp                     LIMIT       Anywhere", "22"),
        ("22/tcp on wg0              ALLOW       Anywhere", "22"),
        ("80,443/tcp                 ALLOW       203.0.113.0/24", "80,443"),
        ("8000:8100/tcp              ALLOW       Anywhere", "8000:8100"),
        ("443                        ALLOW       Anywhere", "443"),
        ("443 (v6)                   ALLOW       Anywhere (v6)", "443"),
        ("80,443/tcp                 ALLOW OUT   Anywhere", ""),
        ("8080/tcp                   ALLOW FWD   Anywhere", ""),
        ("9000                       DENY        Anywhere        # was ALLOW once", ""),
        ("53/udp                     ALLOW       Anywhere", ""),
        ("25/tcp                     DENY        Anywhere", ""),
    ],
)
def test_a_line_of_ufw_is_known_whoever_it_lets_in(line: str, port: str, tmp_path: Path) -> None:
    script = Path(bootstrap.__file__).with_name("host") / "scripts/bootstrap.sh"
    (look,) = [each.strip() for each in script.read_text().splitlines() if "/ufw_port" in each]
    (tmp_path / "ufw").write_text(f"#!/bin/sh\necho '{line}'\n")
    (tmp_path / "ufw").chmod(0o755)
    done = subprocess.run(
        ["bash", "-ec", look], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == (f"ufw_port {port}\n" if port else "")


def test_a_swarm_s_ports_are_open_to_its_nodes_alone() -> None:
    peers = ("10.0.0.0/24", "fd00::/64")
    wish = replace(WISH, ports=(80,), peers=peers)
    (step,) = needed(replace(DONE, ssh_ports=frozenset({22})), wish, "node-1")
    assert "ip saddr 10.0.0.0/24 udp dport { 4789, 7946 } accept" in step.arguments[0]
    assert "ip6 saddr fd00::/64 tcp dport { 2377, 7946 } accept" in step.arguments[0]
    assert "tcp dport { 22, 80 } accept" in step.arguments[0]
    assert 'iifname "docker_gwbridge" accept' in step.arguments[0]
    ufw = replace(DONE, ufw=True, ufw_ports=frozenset({22, 80}), ufw_peers=frozenset({"10.0.0.0/24"}))
    (step,) = needed(ufw, wish, "node-1")
    assert (step.name, step.arguments) == ("ufw_peers", ("fd00::/64",))


def test_a_node_of_a_swarm_gets_no_firewall_that_doesn_t_know_the_others() -> None:
    node = replace(DONE, ssh_ports=frozenset({22}), swarm=True)
    with pytest.raises(PreflightError, match="node of a Swarm"):
        steps(node, replace(WISH, ports=(80,)))
    assert steps(node, WISH) == []


def test_ufw_leaves_out_the_length_of_one_address() -> None:
    facts = parse_facts("uid 0\nufw active\nufw_peer 10.0.0.7\nufw_peer 10.1.0.0/16\nufw_peer Anywhere\n", "node-1")
    assert facts.ufw_peers == {"10.0.0.7/32", "10.1.0.0/16"}


def test_rules_touch_no_table_but_their_own() -> None:
    rules = firewall_rules([443, 22])
    assert "flush" not in rules
    assert rules.count("table inet portside") == 3


def test_a_machine_describes_itself() -> None:
    text = 'os_release ID=debian\nos_release PRETTY_NAME="Debian GNU/Linux 13"\nuid 0\nsystemd yes\ninstalled 26.1.5\n'
    facts = parse_facts(text + "engine \nssh_port 22\nssh_port 2222\nkey yes\n", "web-1")
    assert facts.os_release["PRETTY_NAME"] == "Debian GNU/Linux 13"
    assert facts.ssh_ports == {22, 2222}
    assert (facts.systemd, facts.engine, facts.key, facts.user) == (True, "", True, False)


def test_what_makes_no_sense_is_an_error_that_shows_it() -> None:
    with pytest.raises(HostError) as error:
        parse_facts("This account is not available.\n", "web-1")
    assert "not available" in error.value.why


async def test_a_private_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    with pytest.raises(ConfigError, match="private key") as refused:
        await public_key(path)
    assert "PRIVATE" not in str(refused.value)


async def test_a_public_key_is_taken_and_anything_else_is_not(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(KEY + "\n")
    assert await public_key(path) == KEY
    path.write_text("ssh-ed25519 nonsense")
    with pytest.raises(ConfigError, match="not a public SSH key"):
        await public_key(path)
    with pytest.raises(ConfigError, match="can't be read"):
        await public_key(tmp_path / "missing.pub")


async def test_a_certificate_beside_a_key_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the folder, where it sorts first, nor of the agent's list."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    certificate = f"ssh-ed25519-cert-v01@openssh.com {KEY.split()[1]} ada@laptop\n"
    (tmp_path / ".ssh/id_ed25519-cert.pub").write_text(certificate)
    with pytest.raises(ConfigError, match="no public key to let in"):
        await public_key(None)
    (tmp_path / ".ssh/id_ed25519.pub").write_text(f"{KEY}\n")
    assert await public_key(None) == KEY
    other = KEY.replace("ada@", "eve@")
    (tmp_path / "ssh-add").write_text(f"#!/bin/sh\necho '{certificate}{other}'\n")
    (tmp_path / "ssh-add").chmod(0o755)
    assert await public_key(None) == other


async def test_a_file_that_holds_no_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id.pub").write_text("ssh-ed25519 nonsense")
    with pytest.raises(ConfigError, match="not a public SSH key") as refused:
        await public_key(None)
    assert refused.value.where == str(tmp_path / ".ssh/id.pub")


def test_a_host_is_named_with_or_without_its_user() -> None:
    prod = Environment(name="prod", hosts=("deploy@web-1", "deploy@web-2"))
    assert chosen(prod, None) == ["deploy@web-1", "deploy@web-2"]
    assert chosen(prod, "web-2") == ["deploy@web-2"]
    with pytest.raises(ConfigError, match="web-3"):
        chosen(prod, "web-3")
