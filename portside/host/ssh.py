"""A host over SSH: one asyncssh connection, its key verified (dialling.py), everything else a channel on it.

`~/.ssh/config`, agents and certificates work as with OpenSSH, because asyncssh reads them itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from portside.command import Result, shown
from portside.errors import HostError, PortsideError
from portside.host.base import Channel, Input, Traffic, answered
from portside.host.dialling import Destination, Dialler
from portside.host.local import LINE_LIMIT, SEND_SECONDS
from portside.host.quick import asyncssh


class SSHChannel:
    def __init__(
        self, argv: Sequence[str], process: asyncssh.SSHClientProcess[bytes], where: str, traffic: Traffic
    ) -> None:
        self._argv, self._process, self._where, self._traffic = tuple(argv), process, where, traffic

    async def readline(self, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise HostError(f"`{shown(self._argv, 80)}` said nothing for {timeout:g} s", where=self._where) from None
        except (asyncssh.Error, OSError) as error:
            raise HostError("the SSH connection was lost", where=self._where, why=str(error)) from None
        self._traffic.received += len(line)
        return line

    async def read_until(self, marker: bytes, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                text = await self._process.stdout.readuntil(marker)
        except asyncio.IncompleteReadError as ended:
            text = ended.partial
        except TimeoutError:
            raise HostError(f"`{shown(self._argv, 80)}` did not end within {timeout:g} s", where=self._where) from None
        except (asyncssh.Error, OSError) as error:
            raise HostError("the SSH connection was lost", where=self._where, why=str(error)) from None
        self._traffic.received += len(text)
        return text

    async def send(self, data: bytes) -> None:
        # Whoever reads its answers finds out what became of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, asyncssh.Error, TimeoutError):
            self._process.stdin.write(data)
            self._traffic.sent += len(data)
            async with asyncio.timeout(SEND_SECONDS):
                await self._process.stdin.drain()

    async def close(self) -> Result:
        stderr, code = b"", 255
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, asyncssh.Error, TimeoutError):
            self._process.stdin.write_eof()
            async with asyncio.timeout(10):
                stderr = await self._process.stderr.read()
                await self._process.wait_closed()
            # A connection that was lost has no exit code.
            code = 255 if self._process.returncode is None else self._process.returncode
        self._process.close()
        return Result(self._argv, code, b"", stderr, where=self._where)


class SSHHost:
    """A machine reached over SSH."""

    def __init__(self, name: str, connection: asyncssh.SSHClientConnection) -> None:
        self.name = name
        self.traffic = Traffic()
        self._connection = connection
        self._tunnels: dict[str, Path] = {}
        self._folder: Path | None = None

    async def run(self, argv: Sequence[str], *, stdin: Input | None = None, timeout: float) -> Result:
        self.traffic.exchanges += 1
        process = await self._start(argv)
        try:
            async with asyncio.timeout(timeout):
                reading = asyncio.gather(process.stdout.read(), process.stderr.read())
                feed = asyncio.create_task(self._feed(process, stdin))
                stdout, stderr = await answered(reading, feed)
                await process.wait_closed()
        except TimeoutError:
            await self._stop(process)
            raise HostError(f"`{shown(argv, 80)}` did not finish within {timeout:g} s", where=self.name) from None
        except (asyncssh.Error, OSError) as error:
            raise HostError("the SSH connection was lost", where=self.name, why=str(error)) from None
        except (asyncio.CancelledError, PortsideError):
            await self._stop(process)
            raise
        if process.returncode is None:
            raise HostError("the SSH connection was lost", where=self.name)
        self.traffic.received += len(stdout) + len(stderr)
        return Result(tuple(argv), process.returncode, stdout, stderr, where=self.name)

    async def open(self, argv: Sequence[str], *, stderr_to_stdout: bool = False) -> Channel:
        self.traffic.exchanges += 1
        process = await self._start(argv, stderr=asyncssh.STDOUT if stderr_to_stdout else asyncssh.PIPE)
        return SSHChannel(argv, process, self.name, self.traffic)

    async def tunnel(self, socket: str) -> Path:
        if socket not in self._tunnels:
            self.traffic.exchanges += 1
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="portside-"))
            local = self._folder / f"{len(self._tunnels)}.sock"
            try:
                await self._connection.forward_local_path(str(local), socket)
            except (asyncssh.Error, OSError) as error:
                raise HostError(
                    f"no tunnel to {socket}",
                    where=self.name,
                    why=str(error),
                    remedy="sshd there must allow it: AllowStreamLocalForwarding local, DisableForwarding no.",
                ) from None
            self._tunnels[socket] = local
        return self._tunnels[socket]

    async def reach(self, socket: str) -> None:
        try:
            async with asyncio.timeout(15):
                _, writer = await self._connection.open_unix_connection(socket)
        except asyncssh.ChannelOpenError as error:
            # sshd says the same of a socket where nobody listens and of tunnels that it forbids.
            raise HostError(
                f"nothing answers at {socket}",
                where=self.name,
                why=error.reason,
                remedy="Look there at what should be listening.",
            ) from None
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise HostError("the SSH connection was lost", where=self.name, why=str(error)) from None
        writer.close()

    async def close(self) -> None:
        self._connection.close()
        with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
            async with asyncio.timeout(3):
                await self._connection.wait_closed()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _start(self, argv: Sequence[str], stderr: int = asyncssh.PIPE) -> asyncssh.SSHClientProcess[bytes]:
        command = shlex.join(argv)
        self.traffic.sent += len(command)
        try:
            async with asyncio.timeout(15):
                return await self._connection.create_process(command, encoding=None, stderr=stderr, window=LINE_LIMIT)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise HostError(
                "the SSH connection was lost", where=self.name, why=str(error) or "no answer within 15 s"
            ) from None

    async def _feed(self, process: asyncssh.SSHClientProcess[bytes], stdin: Input | None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, asyncssh.Error):
            if isinstance(stdin, bytes):
                process.stdin.write(stdin)
                self.traffic.sent += len(stdin)
            elif stdin is not None:
                async for chunk in stdin:
                    process.stdin.write(chunk)
                    self.traffic.sent += len(chunk)
                    await process.stdin.drain()
            process.stdin.write_eof()

    async def _stop(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        """Tell what runs there to stop: closing a channel alone leaves it running."""
        with contextlib.suppress(asyncssh.Error, OSError):
            process.terminate()
            process.close()


async def login_name(name: str, ssh_config: Path | None) -> str:
    """As whom a connection to `name` logs in: as the destination says, else the SSH configuration, else as we do.

    What `connect` makes of it, name made whole and `Match final` included.
    """
    async with asyncio.timeout(None) as within:
        options = await Dialler(ssh_config, None, within).options(Destination.parse(name))
    return str(options.username)


async def connect(name: str, *, ssh_config: Path | None, known_hosts: Path | None, deadline: float) -> SSHHost:
    """Connect to `name` within `deadline` seconds.

    Raises HostError: not reachable, key unknown or changed (with its fingerprint and how to pin it), not allowed in.
    """
    try:
        async with asyncio.timeout(deadline) as within:
            connection = await Dialler(ssh_config, known_hosts, within).dial(Destination.parse(name))
    except HostError as error:
        error.where = name
        raise
    except asyncssh.PermissionDenied as error:
        raise HostError(
            "not allowed to log in",
            where=name,
            why=str(error),
            remedy=f"Check that `ssh {name}` works with a key and without a question.",
        ) from None
    except TimeoutError:
        raise HostError(f"no answer within {deadline:g} s", where=name, remedy=f"Try `ssh {name}`.") from None
    # A ValueError is one of ssh_config, known_hosts, a key file, or a name that can be no host's; a RuntimeError one of
    # hosts that are each other's ProxyJump, or of a home that nobody has.
    except (asyncssh.Error, OSError, ValueError, OverflowError, RuntimeError) as error:
        raise HostError("can't connect", where=name, why=str(error), remedy=f"Try `ssh {name}`.") from None
    return SSHHost(name, connection)


async def offered_methods(
    name: str, *, ssh_config: Path | None, known_hosts: Path | None, deadline: float
) -> frozenset[str] | None:
    """How the sshd of `name` would let its user in, as it says itself; None where it doesn't say.

    It is asked and told nothing, so its key isn't looked at; jump hosts' are.
    """
    destination = Destination.parse(name)
    try:
        async with asyncio.timeout(deadline) as within:
            dialler = Dialler(ssh_config, known_hosts, within)
            via = await dialler.jump(destination, await dialler.options(destination))
            try:
                return frozenset(
                    await asyncssh.get_server_auth_methods(
                        destination.host, config=dialler.config, tunnel=via, **destination.given
                    )
                )
            finally:
                if via:
                    via.close()
    except (HostError, asyncssh.Error, OSError, TimeoutError):
        return None
