"""What a bootstrap promises, on a machine that has nothing but an sshd and a key for root."""

from __future__ import annotations

import socket

import httpx
import pytest

from portside.bootstrap import firewall_rules
from portside.host.script import root_argv
from portside.lab.values import LabHost
from tests.lab.plain import as_deploy, bootstrap
from tests.lab.project import Project, wait_until

pytestmark = pytest.mark.hosts


def opens(host: LabHost, port: int) -> bool:
    """A connection to the port is accepted, within a second."""
    try:
        socket.create_connection((host.address, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_dry_run_says_what_is_missing_and_installs_nothing(plain: Project) -> None:
    plan = bootstrap(plain, "--dry-run")
    assert [step["step"] for step in plan["hosts"][plain.hosts[0].name]] == [
        "packages", "engine", "user", "key", "folder", "daemon", "upgrades", "sshd_settings", "proxy",
    ]  # fmt: skip
    assert plain.shell(plain.hosts[0], "bash", "-c", "command -v docker || echo none") == "none"


def test_a_fresh_machine_becomes_a_host(plain: Project) -> None:
    done = bootstrap(plain)
    assert done["outcome"] == "changed"
    assert int(as_deploy(plain, "docker", "version", "--format", "{{.Server.Version}}").split(".")[0]) >= 25
    assert as_deploy(plain, "docker", "compose", "version")
    # The proxy is there, and has nothing to send requests to yet.
    assert httpx.get(plain.url()).status_code == 503


def test_a_second_run_changes_nothing_and_says_so(plain: Project) -> None:
    assert bootstrap(plain)["outcome"] == "unchanged"
    shown = plain.invoke("host-bootstrap", "--env", "lab", "--key", str(plain.lab.key) + ".pub")
    assert "Nothing to do" in shown.out


def test_a_changed_port_of_the_proxy_is_announced_and_applied(plain: Project) -> None:
    plain.environment["http"] = "0.0.0.0:8081"
    try:
        done = bootstrap(plain)
        assert "drop" in done["hosts"][plain.hosts[0].name][0]["what"]
        assert httpx.get(f"{plain.url()}:8081").status_code == 503
    finally:
        plain.environment["http"] = "0.0.0.0:80"
    bootstrap(plain)
    assert httpx.get(plain.url()).status_code == 503


def test_a_firewall_leaves_ssh_and_the_service_open_and_closes_the_rest(plain: Project) -> None:
    host = plain.hosts[0]
    plain.shell(host, "/usr/sbin/sshd", "-p", "2222")
    wait_until(lambda: opens(host, 2222), what="the second sshd to listen")
    bootstrap(plain, "--firewall")
    assert not opens(host, 2222)
    assert as_deploy(plain, "true") == ""
    assert httpx.get(plain.url()).status_code == 503
    assert bootstrap(plain, "--firewall")["outcome"] == "unchanged"


def test_a_swarm_s_nodes_are_let_in_and_only_from_where_they_are(plain: Project) -> None:
    host = plain.hosts[0]
    # As a manager of a Swarm does.
    plain.shell(host, "/usr/sbin/sshd", "-p", "2377")
    before = dict(plain.environment)
    plain.environment |= {"orchestrator": "swarm", "registry": "registry.example.com/acme/tiny", "harden": False}
    key = str(plain.lab.key) + ".pub"
    asked = ("host-bootstrap", "--env", "lab", "--user", "root", "--key", key, "--yes", "--firewall")
    try:
        assert "swarm_networks" in plain.invoke(*asked, code=3).err
        plain.environment["swarm_networks"] = ["10.99.0.0/24"]
        plain.invoke(*asked)
        assert not opens(host, 2377)
        plain.environment["swarm_networks"] = [f"{host.address.rpartition('.')[0]}.0/24", "fd00::/64"]
        plain.invoke(*asked)
        wait_until(lambda: opens(host, 2377), what="the port to be open")
    finally:
        plain.environment = before


def test_rules_that_lock_everybody_out_are_taken_away_and_those_before_are_in_force_again(plain: Project) -> None:
    host = plain.hosts[0]
    plain.shell(host, *root_argv("bootstrap", "firewall", firewall_rules([80]), "2", sudo=False))
    assert not opens(host, 22)
    wait_until(lambda: opens(host, 22), what="ssh is open again")
    assert not opens(host, 2222)
    assert "policy drop" in plain.shell(host, "nft", "list", "table", "inet", "portside")


def test_where_ufw_is_the_firewall_its_doors_are_opened_and_no_second_one_is_made(plain: Project) -> None:
    host = plain.hosts[0]
    plain.shell(host, "bash", "-c", "nft delete table inet portside; rm -f /etc/portside/firewall.nft")
    if not opens(host, 2377):
        plain.shell(host, "/usr/sbin/sshd", "-p", "2377")
    plain.shell(host, "bash", "-ec", "apt-get install --yes ufw; ufw allow 22/tcp; ufw --force enable")
    before = dict(plain.environment)
    plain.environment |= {"orchestrator": "swarm", "registry": "registry.example.com/acme/tiny", "harden": False}
    plain.environment["swarm_networks"] = [f"{host.address.rpartition('.')[0]}.0/24", "fd00::/64"]
    try:
        assert not opens(host, 2377)
        steps = bootstrap(plain, "--user", "root", "--firewall")["hosts"][host.name]
        assert [step["step"] for step in steps if "ufw" in step["step"]] == ["ufw_allow", "ufw_peers"]
        wait_until(lambda: opens(host, 2377), what="the port to be open")
        assert "80/tcp" in plain.shell(host, "ufw", "status")
        assert plain.shell(host, "bash", "-c", "nft list table inet portside 2>/dev/null || echo none") == "none"
        assert bootstrap(plain, "--user", "root", "--firewall")["outcome"] == "unchanged"
    finally:
        plain.environment = before
        plain.shell(host, "ufw", "--force", "disable")


def test_an_administrator_with_sudo_will_do(plain: Project) -> None:
    host = plain.hosts[0]
    plain.shell(host, "apt-get", "install", "--yes", "sudo")
    plain.shell(host, "bash", "-c", "echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy")
    plain.shell(host, "rm", "-r", "/root/.ssh")
    assert bootstrap(plain, "--user", "deploy", "--dry-run", "--firewall")["outcome"] == "dry-run"
    assert bootstrap(plain, "--user", "deploy", "--firewall")["outcome"] == "changed"
    assert bootstrap(plain, "--user", "deploy", "--firewall")["outcome"] == "unchanged"


def test_without_root_the_proxy_can_be_set_up_anew_and_the_rest_is_refused(plain: Project) -> None:
    plain.shell(plain.hosts[0], "rm", "/etc/sudoers.d/deploy")
    key = str(plain.lab.key) + ".pub"
    refused = plain.invoke("host-bootstrap", "--env", "lab", "--user", "deploy", "--key", key, "--firewall", code=4)
    assert "NOPASSWD" in refused.err
    assert bootstrap(plain, "--user", "deploy")["outcome"] == "unchanged"
    plain.environment["http"] = "0.0.0.0:81"
    try:
        assert bootstrap(plain, "--user", "deploy")["outcome"] == "changed"
    finally:
        plain.environment["http"] = "0.0.0.0:80"
    assert bootstrap(plain, "--user", "deploy")["outcome"] == "changed"


def test_a_bootstrapped_host_takes_a_release(plain: Project) -> None:
    outcome = plain.deploy().data
    assert wait_until(lambda: httpx.get(plain.url()).json()["release"] == outcome["release"], what="release serves")
