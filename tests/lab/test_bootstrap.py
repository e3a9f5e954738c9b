"""What a bootstrap promises, on a machine that has nothing but an sshd and a key for root."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portside.bootstrap import firewall_rules
from portside.command import run_command
from portside.host.script import root_argv
from portside.image.bases import ensure_image
from portside.lab.hosts import FIRST_HOST, LABEL, _create_network, _make_key, _privileges, stop_hosts
from portside.lab.values import Lab, LabHost
from tests.lab.project import Project, new_project, wait_until

RECIPE = Path(__file__).parent / "plain_host"
IMAGE = "portside-plain-host"
BUILD_SECONDS = 600
SECONDS = 60


@pytest.fixture(scope="module")
def plain(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose only host is a fresh machine. The tests of this file go through its life in order."""
    name = f"{lab_name}-plain"
    try:
        lab = asyncio.run(_start(name, tmp_path_factory.mktemp("plain")))
        project = new_project(tmp_path_factory.mktemp("project"), lab, lab.hosts, {})
        yield project
    finally:
        asyncio.run(stop_hosts(name))


async def _start(name: str, state_dir: Path) -> Lab:
    await ensure_image("debian:trixie-slim", say=print)
    (await run_command(["docker", "build", "--tag", IMAGE, str(RECIPE)], timeout=BUILD_SECONDS)).check()
    public = await _make_key(state_dir, name)
    subnet, privileges = await _create_network(name), await _privileges(IMAGE)
    address = str(subnet[FIRST_HOST])
    run = [
        "docker", "run", "--detach", "--name", name, "--hostname", name, "--network", name, "--ip", address,
        "--label", f"{LABEL}={name}", "--env", f"AUTHORIZED_KEY={public}",
        "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec",
        "--mount", f"type=volume,src={name},dst=/var/lib/docker,volume-label={LABEL}={name}", *privileges, IMAGE,
    ]  # fmt: skip
    (await run_command(run, timeout=SECONDS)).check()
    key = ["docker", "exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"]
    answer = await run_command(key, timeout=SECONDS)
    while answer.exit_code != 0 or not answer.text:
        await asyncio.sleep(0.1)
        answer = await run_command(key, timeout=SECONDS)
    kind, blob, *_ = answer.text.split()
    host = LabHost(name=name, address=address, public_key=f"{kind} {blob}")
    lab = Lab(
        name=name,
        network=name,
        subnet=str(subnet),
        gateway=str(subnet[1]),
        hosts=(host,),
        state_dir=state_dir.resolve(),
    )
    lab.write()
    return lab


def bootstrap(plain: Project, *arguments: str) -> dict[str, object]:
    key = str(plain.lab.key) + ".pub"
    return plain.invoke("host-bootstrap", "--env", "lab", "--key", key, "--json", *arguments).data


def opens(host: LabHost, port: int) -> bool:
    """A connection to the port is accepted, within a second."""
    try:
        socket.create_connection((host.address, port), timeout=1).close()
    except OSError:
        return False
    return True


def as_deploy(plain: Project, *argv: str) -> str:
    ssh = ["ssh", "-F", str(plain.lab.ssh_config), plain.hosts[0].name, *argv]
    return subprocess.run(ssh, capture_output=True, text=True, check=True, timeout=SECONDS).stdout


def test_a_dry_run_says_what_is_missing_and_installs_nothing(plain: Project) -> None:
    plan = bootstrap(plain, "--dry-run")
    assert [step["step"] for step in plan["hosts"][plain.hosts[0].name]] == [
        "packages", "engine", "user", "key", "folder", "proxy",
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


def test_rules_that_lock_everybody_out_are_taken_away_by_themselves(plain: Project) -> None:
    host = plain.hosts[0]
    plain.shell(host, *root_argv("bootstrap", "firewall", firewall_rules([80]), "2", sudo=False))
    assert not opens(host, 22)
    wait_until(lambda: opens(host, 22), what="ssh is open again")


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
