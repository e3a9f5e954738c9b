"""A release to a Docker Swarm: three nodes, one stack beside the other, and the same promises as on single hosts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portside.lab.values import Lab, LabHost
from tests.lab.faults import as_root, boot, kill
from tests.lab.project import Project, new_project, wait_until
from tests.lab.servers import Registry
from tests.lab.test_traffic import READS, WRITES, command, failures, loaded, total

SECRET = "a-secret-value-that-nobody-should-see"  # noqa: S105 - it is made up
TASKS = "{{.Name}} {{.Node}} {{.CurrentState}}"


def root(host: LabHost, *argv: str) -> str:
    return asyncio.run(as_root(host, list(argv))).check().text


def join(lab: Lab) -> None:
    """All hosts as managers: any one of them may be killed."""
    first, *others = lab.hosts
    root(first, "docker", "swarm", "init", "--advertise-addr", first.address)
    token = root(first, "docker", "swarm", "join-token", "--quiet", "manager")
    for host in others:
        root(host, "docker", "swarm", "join", "--token", token, f"{first.address}:2377")


@pytest.fixture
def swarm(
    clean_hosts: Lab, tmp_path: Path, tiny_images: dict[str, str], registry: Registry
) -> Iterator[Project]:
    """A project that ships the tiny service to the three hosts as one Swarm; afterwards they are single hosts again."""
    join(clean_hosts)
    project = new_project(tmp_path, clean_hosts, clean_hosts.hosts, tiny_images)
    project.environment |= {
        "orchestrator": "swarm",
        "registry": f"{registry.address}/acme/tiny",
        "start_deadline": 60,
        "replicas": {"web": 3},
    }
    try:
        yield project
    finally:
        leave(clean_hosts)


def leave(lab: Lab) -> None:
    for host in lab.hosts:
        asyncio.run(as_root(host, ["docker", "swarm", "leave", "--force"]))


def serving(project: Project) -> set[str]:
    """Which releases answer, asked at every node."""
    return {httpx.get(project.url(host)).json()["release"] for host in project.hosts}


def services(project: Project) -> dict[str, str]:
    """The Swarm's services with how many of their containers run."""
    listed = root(project.hosts[0], "docker", "service", "ls", "--format", "{{.Name}} {{.Replicas}}")
    return dict(line.split(" ", 1) for line in listed.splitlines())


def test_a_stack_is_deployed_and_every_node_serves_it(swarm: Project) -> None:
    outcome = swarm.deploy().data
    assert serving(swarm) == {outcome["release"]}
    assert services(swarm) == {"tiny-lab-blue_web": "3/3", "tiny-lab-blue_worker": "1/1"}
