"""The simulated hosts' process: an SSH server for each, all in one event loop, told on standard input what to be like.

`python -m bench.scale.servers FOLDER COUNT`. A line of JSON in, a line out: {"latency": 0.05, "slow": {"sim-007": 10},
"faults": {"sim-003": "gate"}}. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.scale.host import SimulatedHost
from bench.scale.wire import Wire
from portside.host.quick import asyncssh
from portside.host.script import SCRIPTS, script_text
from portside.lab.values import USER, Lab, LabHost, new_state_dir

PORT = 2222
# How a command begins that runs one of the scripts: some ten kilobytes that needn't be taken apart each time.
BEGINNINGS = {shlex.join(["bash", "-c", script_text(name), f"portside-{name}"]) + " ": name for name in SCRIPTS}
Answering = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]
FAULTS = ("refuse", "gate", "dead", "slow")
SLOW_SECONDS = 15


class Hosted:
    """One simulated host with its SSH server, its way to us, and what is wrong with it."""

    def __init__(self, name: str, address: str) -> None:
        self.host, self.wire = SimulatedHost(name), Wire()
        self.name, self.address = name, address
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.fault = ""
        self._server: asyncssh.SSHAcceptor | None = None
        self._allowed: asyncssh.SSHAuthorizedKeys | None = None

    async def listen(self, allowed: asyncssh.SSHAuthorizedKeys) -> None:
        self._allowed = allowed
        self._server = await asyncssh.listen(
            self.address,
            PORT,
            tunnel=self.wire,
            server_factory=lambda: _Server(self.host),
            server_host_keys=[self.key],
            authorized_client_keys=allowed,
            process_factory=self._serve,
            encoding=None,
            compression_algs=None,
        )

    async def become(self, fault: str) -> None:
        """`fault` is one of FAULTS, or ""."""
        if self._server is not None and fault == "refuse":
            self._server.close()
            self._server = None
        if self._server is None and fault != "refuse" and self._allowed is not None:
            await self.listen(self._allowed)
        self.fault = fault
        self.host.unfit = fault == "gate"
        self.wire.dead = False

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        script = next((name for beginning, name in BEGINNINGS.items() if command.startswith(beginning)), "")
        if not script:
            # `docker image inspect`: it is there, whatever is asked for.
            process.stdout.write(b"sha256:there\n")
            process.exit(0)
            return
        beginning = next(text for text in BEGINNINGS if command.startswith(text))
        site, *arguments = shlex.split(command[len(beginning) :])
        if script == "lease":
            await self._lease(process, site, arguments)
            return
        stdin = await process.stdin.read()
        if script == "start" and self.fault == "dead":
            self.wire.dead = True
            return
        if script == "start" and self.fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        said = self.host.run(script, site, arguments, stdin)
        process.stdout.write(said.out.encode())
        process.stderr.write(said.err.encode())
        process.exit(said.code)

    async def _lease(self, process: asyncssh.SSHServerProcess[bytes], site: str, arguments: list[str]) -> None:
        ttl, _mode, full = arguments
        holder = (await process.stdin.readline()).decode().strip()
        said = self.host.lease(site, ttl, full, holder)
        process.stdout.write(said.out.encode())
        if said.code == 0:
            try:
                while await process.stdin.readline():
                    self.host.beat(site, ttl)
            finally:
                self.host.release(site)
        process.exit(said.code)


class _Server(asyncssh.SSHServer):
    """Who logs in is the deploy user with the key of the run; the proxy's admin socket answers."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    def unix_connection_requested(self, dest_path: str) -> bool | Answering:
        return self._admin if dest_path.endswith("/admin.sock") else False

    async def _admin(self, reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
        if length:
            await reader.readexactly(length)
        body = self._host.upstreams() if "/reverse_proxy/upstreams" in head.splitlines()[0] else ""
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        writer.write_eof()
        writer.close()


async def serve(folder: Path, count: int) -> None:
    state = new_state_dir(folder)
    client = asyncssh.generate_private_key("ssh-ed25519")
    hosts = [Hosted(f"sim-{number:03}", f"127.77.0.{number}") for number in range(1, count + 1)]
    lab = Lab(
        name="simulated",
        network="lo",
        subnet="127.77.0.0/24",
        gateway="127.77.0.0",
        hosts=tuple(
            LabHost(
                name=host.name,
                address=host.address,
                port=PORT,
                user=USER,
                public_key=host.key.export_public_key().decode().strip(),
            )
            for host in hosts
        ),
        state_dir=state,
    )
    lab.key.touch(0o600)
    lab.key.write_bytes(client.export_private_key())
    lab.write()
    allowed = asyncssh.import_authorized_keys(client.export_public_key().decode())
    for host in hosts:
        await host.listen(allowed)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        wanted = json.loads(line)
        for host in hosts:
            await host.become(wanted.get("faults", {}).get(host.name, ""))
            host.wire.latency = wanted.get("latency", 0.0) * wanted.get("slow", {}).get(host.name, 1)
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
