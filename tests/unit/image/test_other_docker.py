"""A Docker that isn't the distribution's is left as it is: the error says what it lacks, and of whom."""

from __future__ import annotations

import platform
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from portside import engine
from portside.engine import Say, apt_install, install_docker, missing_tools, refuse_other_engine, start_engine
from portside.errors import CommandError, PortsideError

DEBIAN = {"ID": "debian", "VERSION_ID": "13"}


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def installed(folder: Path, *packages: str) -> None:
    program(folder, "dpkg-query", "\n".join(f"echo {package} installed" for package in packages))


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian whose whole PATH is this folder: a docker without plugins, and an apt-get that notes what it is told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "read_os_release", lambda: DEBIAN)
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    program(tmp_path, "docker", 'case "$1 $2" in "context show") echo default ;; *) exit 1 ;; esac')
    program(tmp_path, "apt-get", f'echo "$@" >> "{tmp_path}/apt.log"')
    installed(tmp_path)
    return tmp_path


def told_apt(machine: Path) -> str:
    log = machine / "apt.log"
    return log.read_text() if log.exists() else ""


async def test_docker_s_own_packages_are_never_replaced(machine: Path) -> None:
    installed(machine, "docker-ce", "docker-ce-cli")
    with pytest.raises(PortsideError) as caught:
        await install_docker(print)
    assert "apt-get install docker-compose-plugin docker-buildx-plugin" in caught.value.remedy
    assert not told_apt(machine)


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ('case "$1 $2" in "context show") echo far ;; *) exit 1 ;; esac', "'far'"),
        ('case "$1" in version) echo 28.0 ;; *) exit 1 ;; esac', "that answers it"),
    ],
)
async def test_an_engine_that_came_from_elsewhere_gets_no_second_one_beside_it(
    machine: Path, script: str, named: str
) -> None:
    program(machine, "docker", script)
    with pytest.raises(PortsideError, match=named):
        await install_docker(print)
    assert not told_apt(machine)


async def test_a_daemon_that_came_from_elsewhere_gets_no_second_one_beside_it(machine: Path) -> None:
    program(machine, "dockerd", "")
    with pytest.raises(PortsideError, match=str(machine / "dockerd")):
        await install_docker(print)


async def test_an_engine_elsewhere_gets_no_second_one_here(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(PortsideError, match="DOCKER_HOST"):
        await install_docker(print)
    assert not told_apt(machine)


@pytest.mark.parametrize("packages", [("docker.io", "docker-cli"), ()])
async def test_the_distribution_s_own_and_a_client_without_an_engine_get_what_they_lack(
    machine: Path, packages: tuple[str, ...]
) -> None:
    installed(machine, *packages)
    await install_docker(print)
    assert "docker-compose" in told_apt(machine)


async def test_nothing_is_removed_for_a_package(machine: Path) -> None:
    await apt_install(("docker.io",))
    assert "install --yes --no-remove" in told_apt(machine)


async def test_a_plugin_that_doesn_t_answer_in_time_is_not_missing(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "QUESTION_SECONDS", 1.0)
    hangs = f"{sys.executable} -c 'import time; time.sleep(60)'"
    program(machine, "docker", f'case "$1" in compose) exec {hangs} ;; esac')
    with pytest.raises(CommandError, match="`docker compose version` did not finish"):
        await missing_tools()


async def test_a_context_that_doesn_t_answer_is_named_and_nothing_is_started(machine: Path) -> None:
    program(machine, "docker", 'case "$1 $2" in "context show") echo far ;; *) exit 1 ;; esac')
    program(machine, "dockerd", f'touch "{machine}/started"')
    with pytest.raises(PortsideError, match="'far'") as caught:
        await start_engine(print)
    assert "docker context use default" in caught.value.remedy
    assert not (machine / "started").exists()


@pytest.mark.parametrize("context", ["desktop-linux", "default"])
@pytest.mark.parametrize("command", [start_engine, lambda _: refuse_other_engine()])
async def test_on_a_mac_it_is_docker_desktop_that_is_to_be_started(
    machine: Path, monkeypatch: pytest.MonkeyPatch, context: str, command: Callable[[Say], Awaitable[None]]
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    program(machine, "docker", f'case "$1 $2" in "context show") echo {context} ;; *) exit 1 ;; esac')
    with pytest.raises(PortsideError) as caught:
        await command(print)
    assert caught.value.remedy == "Start Docker Desktop."


async def test_on_a_mac_another_engine_that_doesn_t_answer_is_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    program(machine, "docker", 'case "$1 $2" in "context show") echo colima ;; *) exit 1 ;; esac')
    with pytest.raises(PortsideError, match="'colima'") as caught:
        await start_engine(print)
    assert "docker context use desktop-linux" in caught.value.remedy
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")
    with pytest.raises(PortsideError, match="DOCKER_HOST"):
        await start_engine(print)
