"""A lab's files are what ssh, asyncssh and the engine read it through."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from portside.errors import ConfigError
from portside.host.quick import asyncssh
from portside.host.ssh import login_name
from portside.lab.image import RECIPE, lab_image
from portside.lab.values import (
    Lab,
    LabHost,
    known_hosts,
    load_lab,
    new_state_dir,
    ssh_config,
    write_environment,
)


def a_lab(state_dir: Path) -> Lab:
    hosts = tuple(
        LabHost(name=f"lab-{number}", address=f"10.1.0.1{number}", public_key=f"ssh-ed25519 KEY{number}")
        for number in (1, 2)
    )
    return Lab(
        name="lab",
        network="lab",
        subnet="10.1.0.0/16",
        gateway="10.1.0.1",
        hosts=hosts,
        state_dir=state_dir,
    )


def test_a_lab_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    lab = a_lab(tmp_path)
    lab.write()
    assert load_lab(tmp_path) == lab


def test_no_lab_is_an_error_that_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="invoke lab-up"):
        load_lab(tmp_path)


def test_a_file_of_another_version_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"name": "lab"}')
    with pytest.raises(ConfigError, match="invoke lab-down"):
        load_lab(tmp_path)


def test_known_hosts_has_each_host_under_its_name_and_its_address(tmp_path: Path) -> None:
    assert known_hosts(a_lab(tmp_path).hosts) == (
        "lab-1,10.1.0.11 ssh-ed25519 KEY1\nlab-2,10.1.0.12 ssh-ed25519 KEY2\n"
    )


def test_ssh_config_is_strict_and_quotes_paths() -> None:
    config = ssh_config(a_lab(Path("/home/a b/lab")))
    assert config.count("StrictHostKeyChecking yes") == 2
    assert config.count('IdentityFile "/home/a b/lab/id_ed25519"') == 2


async def test_a_percent_sign_in_a_path_is_one_to_ssh(tmp_path: Path) -> None:
    lab = a_lab(new_state_dir(tmp_path / "100%d"))
    lab.write()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(lab.key)
    assert await login_name("lab-1", lab.ssh_config) == "deploy"
    assert lab.ssh_config.read_text().count("/100%%d/") == 2 * len(lab.hosts)


def test_the_environment_is_toml_that_names_hosts_and_ssh_config(tmp_path: Path) -> None:
    lab = a_lab(Path('/home/a "b"/lab'))
    write_environment(lab, tmp_path / "new" / "lab.toml", "lab")
    files = {name: f'/home/a "b"/lab/{name}' for name in ("ssh_config", "known_hosts")}
    assert tomllib.loads((tmp_path / "new" / "lab.toml").read_text()) == {
        "env": {"lab": {"hosts": ["lab-1", "lab-2"], "accessory_hosts": ["lab-1", "lab-2"], **files}}
    }


def test_a_state_directory_is_its_owners_and_without_an_earlier_labs_files(tmp_path: Path) -> None:
    old = tmp_path / "lab"
    old.mkdir(mode=0o755)
    (old / "id_ed25519").write_text("old key")
    (old / "notes").write_text("not ours")
    assert new_state_dir(old) == old
    assert old.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in old.iterdir()] == ["notes"]


def test_the_image_changes_its_name_with_every_change_of_the_recipe(tmp_path: Path) -> None:
    copy = tmp_path / "recipe"
    shutil.copytree(RECIPE, copy)
    assert lab_image(copy) == lab_image(RECIPE)
    (copy / "sshd.conf").chmod(0o755)
    executable = lab_image(copy)
    (copy / "sshd.conf").write_text("PermitRootLogin yes\n")
    assert len({lab_image(RECIPE), executable, lab_image(copy)}) == 3
