"""Real servers for tests, each in a container of this machine's Engine."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from portside.command import Result, run_command
from portside.image.bases import ensure_image
from portside.lab.hosts import LABEL
from portside.lab.values import Lab
from tests.lab.faults import as_root

REGISTRY_IMAGE = "registry:2"
POSTGRES_IMAGE = "postgres:17"
FORWARD_REGISTRY = Path(__file__).parent / "forward_registry.sh"
DOCKER_SECONDS = 60.0
UP_SECONDS = 90.0


@dataclass(frozen=True)
class Registry:
    """`address` (127.0.0.1:port) is good for image names on this machine and on every host of the lab."""

    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@dataclass(frozen=True)
class Postgres:
    container: str
    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"


async def start_registry(lab: Lab) -> Registry:
    """Goes with the lab."""
    await ensure_image(REGISTRY_IMAGE, say=print)
    address = str(ipaddress.IPv4Network(lab.subnet)[10])
    container = f"{lab.name}-registry"
    await _run(
        container,
        REGISTRY_IMAGE,
        label=lab.name,
        port=5000,
        # A port that the Engine chooses would be another one after a stop and a start.
        published=_free_port(),
        options=[f"--network={lab.network}", f"--ip={address}"],
    )
    port = await _published(container, 5000)
    await asyncio.gather(*(_forward(host.name, port, address) for host in lab.hosts))
    for host in lab.hosts:
        (await as_root(host, ["/etc/lab-host.boot"])).check()
    registry = Registry(f"127.0.0.1:{port}")
    await _wait_for_registry(registry)
    return registry


async def forget_images(registry: Registry) -> None:
    """Take the registry's names off this machine's images: its port will not come again, and nobody would miss them."""
    listed = await _docker("image", "ls", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    named = [line.split() for line in listed.text.splitlines() if line.startswith(f"{registry.address}/")]
    names = [f"{name}:{tag}" if tag != "<none>" else f"{name}@{digest}" for name, tag, digest in named]
    if names:
        await _docker("image", "rm", "--force", *dict.fromkeys(names))


async def start_postgres(name: str) -> Postgres:
    """A server of its own, under the label `name`, that keeps its data in memory."""
    await ensure_image(POSTGRES_IMAGE, say=print)
    password = secrets.token_hex(8)
    options = [f"--env=POSTGRES_PASSWORD={password}", "--tmpfs=/var/lib/postgresql/data"]
    await _run(name, POSTGRES_IMAGE, label=name, port=5432, options=options)
    postgres = Postgres(name, await _published(name, 5432), password)
    await _wait_for_postgres(postgres)
    return postgres


async def create_database(postgres: Postgres, database: str) -> None:
    await _docker("exec", "--user=postgres", postgres.container, "createdb", database)


async def drop_database(postgres: Postgres, database: str) -> None:
    await _docker("exec", "--user=postgres", postgres.container, "dropdb", "--force", database)


async def _forward(host: str, port: int, address: str) -> None:
    await _docker("cp", str(FORWARD_REGISTRY), f"{host}:/etc/lab-host.boot")
    argv = ["docker", "exec", "--interactive", host, "tee", "/etc/lab-host.registry"]
    (await run_command(argv, timeout=DOCKER_SECONDS, stdin=f"{port} {address}\n".encode())).check()


async def _wait_for_registry(registry: Registry) -> None:
    deadline = time.monotonic() + UP_SECONDS
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                (await client.get(f"{registry.url}/v2/")).raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)


async def _wait_for_postgres(postgres: Postgres) -> None:
    # Over TCP: while the cluster is being created the server listens on its socket only.
    argv = ["docker", "exec", postgres.container, "pg_isready", "--host=127.0.0.1"]
    deadline = time.monotonic() + UP_SECONDS
    while (answer := await run_command(argv, timeout=DOCKER_SECONDS)).exit_code != 0:
        if time.monotonic() > deadline:
            answer.check("PostgreSQL did not come up")
        await asyncio.sleep(0.05)


async def _run(
    name: str, image: str, *, label: str, port: int, options: Sequence[str], published: int | None = None
) -> None:
    labels = ["--name", name, "--label", f"{LABEL}={label}"]
    await _docker("run", "--detach", *labels, f"--publish=127.0.0.1:{published or ''}:{port}", *options, image)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def _published(container: str, port: int) -> int:
    return int((await _docker("port", container, f"{port}/tcp")).text.rpartition(":")[2])


async def _docker(*arguments: str) -> Result:
    return (await run_command(["docker", *arguments], timeout=DOCKER_SECONDS)).check()
