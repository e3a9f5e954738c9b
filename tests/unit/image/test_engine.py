"""What installing Docker takes on a system, as a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.engine import debian_mirror, forget_dead_engine, installation_for, read_os_release


def test_bookworm_takes_docker_from_trixie_and_nothing_else() -> None:
    plan = installation_for({"ID": "debian", "VERSION_ID": "12"})
    assert plan is not None
    assert "docker-buildx/trixie" in plan.packages
    assert any("Pin-Priority: 100" in content for _, content in plan.files)


def test_trixie_and_ubuntu_use_their_own_packages() -> None:
    for os_release in ({"ID": "debian", "VERSION_ID": "13"}, {"ID": "ubuntu", "VERSION_ID": "24.04"}):
        plan = installation_for(os_release)
        assert plan is not None
        assert not plan.files
        assert {"docker.io", "docker-buildx"} <= set(plan.packages)


def test_other_systems_are_left_to_their_owner() -> None:
    assert installation_for({"ID": "fedora"}) is None
    assert installation_for({}) is None


def test_the_commands_to_type_hold_everything() -> None:
    plan = installation_for({"ID": "debian", "VERSION_ID": "12"}, "http://mirror.example/debian")
    assert plan is not None
    text = "\n".join(plan.commands())
    assert "URIs: http://mirror.example/debian" in text
    assert text.splitlines()[-1].startswith("sudo apt-get install --no-install-recommends docker.io/trixie")


def test_the_mirror_is_debians_own_unless_named() -> None:
    assert debian_mirror({}) == "http://deb.debian.org/debian"
    assert debian_mirror({"PORTSIDE_DEBIAN_MIRROR": "http://m/debian/"}) == "http://m/debian"


def test_os_release_is_read_with_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n\n# note\n')
    assert read_os_release(path)["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert read_os_release(tmp_path / "missing") == {}


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ("Name:\tdockerd\nState:\tS (sleeping)\n", True),
        ("Name:\tdockerd\nState:\tZ (zombie)\n", False),
        ("Name:\tbash\nState:\tS (sleeping)\n", False),
        (None, False),
    ],
)
def test_only_a_living_engine_keeps_its_pid_file(tmp_path: Path, status: str | None, kept: bool) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text("42")
    if status is not None:
        (tmp_path / "42").mkdir()
        (tmp_path / "42/status").write_text(status)
    forget_dead_engine(pid_file, tmp_path)
    assert pid_file.exists() == kept
