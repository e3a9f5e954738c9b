"""The lab is what the other lab tests stand on: its hosts have to behave like servers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from portside.command import Result, run_command
from portside.errors import ConfigError
from portside.lab.hosts import LABEL, start_hosts, stop_hosts
from portside.lab.values import Lab, LabHost, load_lab
from tests.lab import faults
from tests.lab.images import TINY, give_image, give_tiny_image, tiny_image
from tests.lab.servers import Registry

BRIEFLY = ("-o", "ConnectTimeout=1")


def say(_text: str) -> None:
    return None


async def ssh(lab: Lab, host: LabHost, *command: str, options: tuple[str, ...] = ()) -> Result:
    # ssh keeps the first value of an option.
    argv = ["ssh", "-F", str(lab.ssh_config), *options, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    return await run_command([*argv, host.name, *command], timeout=30)


async def test_hosts_are_reached_by_plain_ssh_as_deploy(lab: Lab) -> None:
    answers = await asyncio.gather(*(ssh(lab, host, "id", "--user", "--name") for host in lab.hosts))
    assert [answer.check().text for answer in answers] == ["deploy"] * 3


async def test_hosts_are_reached_by_asyncssh_with_nothing_but_the_config(lab: Lab) -> None:
    async with asyncssh.connect(lab.hosts[1].name, config=[lab.ssh_config]) as connection:
        assert (await connection.run("hostname", check=True)).stdout == f"{lab.hosts[1].name}\n"


async def test_deploy_needs_no_root_for_docker_and_compose(lab: Lab) -> None:
    assert (await ssh(lab, lab.hosts[0], "docker", "version")).check()
    assert (await ssh(lab, lab.hosts[0], "docker", "compose", "version")).check()


async def test_root_can_not_log_in(lab: Lab) -> None:
    refused = await ssh(lab, lab.hosts[0], "true", options=("-o", "User=root"))
    assert refused.exit_code == 255
    assert b"Permission denied (publickey)" in refused.stderr


async def test_a_host_with_another_key_than_the_known_one_is_refused(lab: Lab, tmp_path: Path) -> None:
    swapped = tmp_path / "known_hosts"
    first, second, _ = lab.hosts
    swapped.write_text(f"{first.address} {second.public_key}\n")
    refused = await ssh(lab, first, "true", options=("-o", f"UserKnownHostsFile={swapped}"))
    assert refused.exit_code == 255
    assert b"Host key verification failed" in refused.stderr


async def test_a_host_runs_containers_of_its_own(clean_hosts: Lab) -> None:
    host = clean_hosts.hosts[0]
    await give_tiny_image(host)
    ran = await ssh(clean_hosts, host, "docker", "run", "--rm", "--memory=64m", TINY, "/bin/sh", "-c", "'echo hello'")
    assert ran.check().text == "hello"


async def test_a_reboot_keeps_the_disk_and_the_address_and_empties_tmp(clean_hosts: Lab) -> None:
    lab, host = clean_hosts, clean_hosts.hosts[0]
    await give_tiny_image(host)
    run = ["docker", "run", "--detach", "--stop-signal=KILL"]
    (await ssh(lab, host, *run, "--restart=unless-stopped", "--name=kept", TINY, "/bin/sleep", "600")).check()
    (await ssh(lab, host, *run, "--name=ended", TINY, "/bin/sleep", "600")).check()
    (await ssh(lab, host, "touch", "/tmp/gone", "kept")).check()

    await faults.reboot(host)

    assert (await ssh(lab, host, "docker", "ps", "--format={{.Names}}")).check().text == "kept"
    assert (await ssh(lab, host, "ls", "kept")).exit_code == 0
    assert (await ssh(lab, host, "ls", "/tmp/gone")).exit_code != 0


async def test_a_host_comes_back_from_a_power_cut(clean_hosts: Lab) -> None:
    host = clean_hosts.hosts[2]
    await faults.kill(host)
    assert (await ssh(clean_hosts, host, "true", options=BRIEFLY)).exit_code == 255
    await faults.boot(host)
    assert (await ssh(clean_hosts, host, "docker", "version")).exit_code == 0


async def test_a_disconnected_host_is_silent_and_back_under_its_address(clean_hosts: Lab) -> None:
    host = clean_hosts.hosts[1]
    async with faults.disconnected(clean_hosts, host):
        assert (await ssh(clean_hosts, host, "true", options=BRIEFLY)).exit_code == 255
    assert (await ssh(clean_hosts, host, "true")).exit_code == 0


async def test_cleaning_repairs_every_fault_and_leaves_nothing_but_images(clean_hosts: Lab) -> None:
    lab = clean_hosts
    for host in lab.hosts:
        await give_tiny_image(host)
    (await ssh(lab, lab.hosts[0], "docker", "volume", "create", "left")).check()
    (await ssh(lab, lab.hosts[0], "docker", "network", "create", "left")).check()
    (await ssh(lab, lab.hosts[0], "docker", "run", "--detach", TINY, "/bin/sleep", "600")).check()
    (await ssh(lab, lab.hosts[0], "mkdir", "--parents", ".portside/releases")).check()
    await faults.pause(lab.hosts[0])
    await faults.disconnect(lab, lab.hosts[1])
    await faults.kill(lab.hosts[2])

    await faults.repair_all(lab)

    for listing in (["ps", "--all"], ["volume", "ls"], ["network", "ls", "--filter=type=custom"]):
        assert (await ssh(lab, lab.hosts[0], "docker", *listing, "--quiet")).check().text == ""
    assert (await ssh(lab, lab.hosts[0], "ls", ".portside")).exit_code != 0
    for host in lab.hosts:
        assert (await ssh(lab, host, "docker", "image", "inspect", TINY)).exit_code == 0


async def test_an_image_pushed_from_here_is_pulled_by_every_host_under_the_same_name(
    clean_hosts: Lab, registry: Registry
) -> None:
    name = f"{registry.address}/tiny:1"
    image = await tiny_image(clean_hosts.hosts[0])
    (await run_command(["docker", "import", "-", name], timeout=30, stdin=image)).check()
    try:
        (await run_command(["docker", "push", name], timeout=30)).check()
    finally:
        await run_command(["docker", "image", "rm", name], timeout=30)
    await faults.reboot(clean_hosts.hosts[0])
    pulls = await asyncio.gather(*(ssh(clean_hosts, host, "docker", "pull", name) for host in clean_hosts.hosts))
    assert [pull.exit_code for pull in pulls] == [0, 0, 0], pulls


async def test_images_of_this_machine_can_be_given_to_a_host(clean_hosts: Lab, registry: Registry) -> None:
    host = clean_hosts.hosts[1]
    await give_image(host, "registry:2")
    await give_image(host, "registry:2")
    assert (await ssh(clean_hosts, host, "docker", "image", "inspect", "registry:2")).exit_code == 0


async def test_postgres_is_17_and_its_database_new(postgres_url: str) -> None:
    asyncpg = pytest.importorskip("asyncpg")
    connection = await asyncpg.connect(postgres_url)
    try:
        assert connection.get_server_version().major == 17
        assert await connection.fetch("select 1 from pg_tables where schemaname = 'public'") == []
        await connection.execute("create table left_behind (id int)")
    finally:
        await connection.close()


async def test_stopping_a_lab_leaves_nothing_of_it(tmp_path: Path, lab_name: str) -> None:
    name = f"{lab_name}-brief"
    lab = await start_hosts(1, name=name, state_dir=tmp_path / "state", say=say)
    assert load_lab(tmp_path / "state") == lab
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert lab.key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="already there"):
        await start_hosts(1, name=name, state_dir=tmp_path / "other", say=say)

    await stop_hosts(name)

    for listing in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        argv = ["docker", *listing, "--quiet", f"--filter=label={LABEL}={name}"]
        assert (await run_command(argv, timeout=30)).check().text == ""
    volumes = await run_command(["docker", "volume", "ls", "--quiet"], timeout=30)
    assert f"{name}-1" not in volumes.text.split()


async def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path, lab_name: str) -> None:
    name = f"{lab_name}-cut"
    start = asyncio.create_task(start_hosts(2, name=name, state_dir=tmp_path, say=say))
    await asyncio.sleep(0.9)
    start.cancel()
    with suppress(asyncio.CancelledError):
        await start
    for listing in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        argv = ["docker", *listing, "--quiet", f"--filter=label={LABEL}={name}"]
        assert (await run_command(argv, timeout=30)).check().text == ""
