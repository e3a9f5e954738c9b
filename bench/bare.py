"""Bare Compose on the same host: the release's own Compose file, without what Portside adds to it."""

from __future__ import annotations

import asyncio
import json
import time

import yaml

from portside.command import Result, run_command
from portside.lab.values import Lab

PROJECT = "bare"
PORT = 8088
SSH_SECONDS = 120.0


class Bare:
    """One service on one of the lab's hosts, brought up with `docker compose up --detach --wait` over ssh."""

    def __init__(self, lab: Lab, index: int = 0) -> None:
        self._lab = lab
        self._host = lab.hosts[index].name
        self.address = f"http://{lab.hosts[index].address}:{PORT}"

    async def adopt(self, site: str, release: str, name: str) -> None:
        """Make `name` of the release that Portside put on the host: the same web service, the same environment."""
        folder = f".portside/sites/{site}/releases/{release}"
        read = await self._ssh("cat", f"{folder}/compose.yaml")
        data = yaml.safe_load(read.check().stdout)
        # `--wait` refuses services without a health check, which a worker may be: bare Compose is spared them.
        web = data["services"]["web"]
        data["services"] = {"web": web}
        web.pop("labels", None)
        if web["deploy"]["replicas"] == 1:
            web["ports"] = [f"{PORT}:8000"]
        await self._ssh("mkdir", "-p", f"bare/{name}")
        (await self._ssh("cp", f"{folder}/env", f"bare/{name}/env")).check()
        (await self._ssh("tee", f"bare/{name}/compose.yaml", stdin=yaml.safe_dump(data).encode())).check()

    async def up(self, name: str) -> float:
        """Replace what runs by `name`; seconds of the whole command as a person types it."""
        began = time.monotonic()
        result = await self._ssh(
            "docker", "compose", "-p", PROJECT, "-f", f"bare/{name}/compose.yaml", "up", "--detach", "--wait"
        )
        took = time.monotonic() - began
        result.check()
        return took

    async def down(self) -> None:
        await self._ssh("docker", "compose", "-p", PROJECT, "-f", "bare/a/compose.yaml", "down")

    async def _ssh(self, *argv: str, stdin: bytes | None = None) -> Result:
        return await run_command(
            ["ssh", "-F", str(self._lab.ssh_config), self._host, *argv], timeout=SSH_SECONDS, stdin=stdin
        )


async def settled(seconds: float = 0.5) -> None:
    """Let what the last command left to the Engine end."""
    await asyncio.sleep(seconds)


def releases(status_json: str) -> list[str]:
    """The ids on the first host, newest first, out of `invoke status --json`."""
    hosts = json.loads(status_json)["hosts"]
    return list(next(iter(hosts.values()))["releases"])
