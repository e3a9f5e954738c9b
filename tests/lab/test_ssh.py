"""Only hosts that are known are talked to, and what is wrong with a connection is said in full."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator

import pytest

from portside.errors import BuildError
from portside.host.ssh import connect
from portside.lab.values import Lab
from tests.lab.project import Project


def test_an_unknown_host_key_is_refused_with_its_fingerprint(project: Project) -> None:
    image, host = project.image(), project.hosts[0]
    empty = project.root / "known_hosts"
    empty.touch()
    project.environment["known_hosts"] = str(empty)
    refused = project.deploy(image=image, code=4)
    key = project.root / "host.pub"
    key.write_text(host.public_key + "\n")
    shown = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] in refused.all
    assert host.public_key.split()[1] in refused.all, "in the line to add"
    assert project.containers(host) == []


def test_a_host_that_does_not_answer_is_named_and_nothing_changes(pair: Project) -> None:
    first = pair.deploy().data["release"]
    pair.environment["hosts"] = [*(host.name for host in pair.hosts), "deploy@127.0.0.1:9"]
    refused = pair.deploy(image=pair.image("2"), code=4)
    assert "127.0.0.1:9" in refused.all
    del pair.environment["hosts"]
    status = pair.invoke("status", "--env", "lab", "--json").data
    assert {state["release"] for state in status["hosts"].values()} == {first}


def test_status_shows_the_others_when_a_host_is_down(pair: Project) -> None:
    release = pair.deploy().data["release"]
    pair.environment["hosts"] = [*(host.name for host in pair.hosts), "deploy@127.0.0.1:9"]
    status = pair.invoke("status", "--env", "lab", "--json", code=4).data
    assert [state["release"] for state in status["hosts"].values()] == [release] * 2
    assert list(status["unreachable"]) == ["deploy@127.0.0.1:9"]


async def test_input_that_can_t_be_read_ends_a_command_that_waits_for_it(lab: Lab) -> None:
    async def input_that_fails() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise BuildError("the rest is gone")

    host = await connect(lab.hosts[0].name, ssh_config=lab.ssh_config, known_hosts=lab.known_hosts, deadline=15)
    async with asyncio.timeout(20):
        with pytest.raises(BuildError, match="the rest is gone"):
            await host.run(["cat"], stdin=input_that_fails(), timeout=60)
    assert (await host.run(["echo", "well"], timeout=15)).text == "well"
    await host.close()
