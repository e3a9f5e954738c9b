"""Open an SSH connection: jump hosts first, and to no host whose key isn't known."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from portside.errors import HostError
from portside.host.quick import asyncssh

# Notice within this many seconds that the other side is gone: three unanswered keep-alives.
KEEPALIVE_SECONDS = 5
SSH_PORT = 22
# The user's own, where the SSH configuration names no others: ssh_config(5), UserKnownHostsFile.
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
# This machine's, likewise: GlobalKnownHostsFile.
GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True)
class Destination:
    """Where and as whom: `[user@]host[:port]`, an IPv6 address in brackets; the rest from the SSH configuration."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Raises ValueError where `text` is none."""
        user, _, rest = text.rpartition("@")
        if not (found := re.fullmatch(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::(\d{1,5}))?", rest)):
            raise ValueError(f"{text!r} is not [user@]host[:port], where an IPv6 address is in brackets")
        host, port = found.groups()
        return cls(host.strip("[]"), user or None, int(port) if port else None)

    @classmethod
    def hop(cls, text: str) -> Destination:
        """As ProxyJump names one, which may be a URI. Raises ValueError where `text` is none."""
        uri = text.startswith("ssh://")
        return cls.parse(text.removeprefix("ssh://").removesuffix("/") if uri else text)

    @property
    def given(self) -> dict[str, Any]:
        """What asyncssh is told of it besides the host; what isn't given is the SSH configuration's."""
        return {
            **({"username": self.user} if self.user else {}),
            **({"port": self.port} if self.port else {}),
        }


@dataclass(frozen=True)
class Dialler:
    """How connections are opened: by this SSH configuration, to the hosts that these files know (None: the user's).

    `within` is the time for all of them together, whatever ConnectTimeout says; the caller has entered it.
    """

    ssh_config: Path | None
    known_hosts: Path | None
    within: asyncio.Timeout

    @property
    def config(self) -> Sequence[str]:
        return [str(self.ssh_config)] if self.ssh_config else ()

    async def dial(
        self, destination: Destination, via: asyncssh.SSHClientConnection | None = None, *, role: str = "its"
    ) -> asyncssh.SSHClientConnection:
        """Connect, through `via` or what ProxyJump names; that connection ends with this one, also where there is none.

        Raises HostError, without `where`, when a key isn't known, naming it as `role`, or ProxyJump can't be read; all
        else is asyncssh's to raise.
        """
        with contextlib.ExitStack() as unless_connected:
            if via:
                unless_connected.callback(via.close)
            options = await self.options(destination)
            if via is None and (via := await self.jump(destination, options)):
                unless_connected.callback(via.close)
            try:
                connection = await asyncssh.connect(
                    destination.host,
                    config=self.config,
                    tunnel=via,
                    known_hosts=self._known(options),
                    keepalive_interval=KEEPALIVE_SECONDS,
                    keepalive_count_max=3,
                    connect_timeout=None,
                    compression_algs=None,
                    **destination.given,
                )
            except asyncssh.HostKeyNotVerifiable as error:
                raise await self._untrusted(destination, options, via, role, str(error)) from None
            if via:
                connection.set_tunnel(via)
            unless_connected.pop_all()
            return connection

    async def jump(
        self, destination: Destination, options: asyncssh.SSHClientConnectionOptions
    ) -> asyncssh.SSHClientConnection | None:
        """A connection to the last of the jump hosts of `destination`; None where it has none.

        Not left to asyncssh, which would trust for them what the user's own known_hosts has, and nothing else.
        """
        named = options.tunnel
        try:
            hops = [Destination.hop(text) for text in named.split(",")] if isinstance(named, str) else []
        except ValueError as error:
            raise HostError(
                f"its ProxyJump {named!r} can't be read",
                why=str(error),
                remedy=f"Correct it in {self.ssh_config or '~/.ssh/config'}.",
            ) from None
        # `Host *` means the jump host too. OpenSSH refuses that ("jumphost loop"); here it is reached directly.
        for hop in hops:
            if await self._same(hop, destination, options):
                return None
        via = None
        for hop in hops:
            via = await self.dial(hop, via, role=f"its jump host {hop.host}'s")
        return via

    async def _same(
        self, hop: Destination, destination: Destination, options: asyncssh.SSHClientConnectionOptions
    ) -> bool:
        """Whether a jump host is the destination itself, as OpenSSH sees it: the same host, user and port."""
        return (
            hop.host in (destination.host, options.orig_host)
            and hop.user in (None, options.username)
            and (await self.options(hop)).port == options.port
        )

    async def options(self, destination: Destination) -> asyncssh.SSHClientConnectionOptions:
        """What the SSH configuration makes of `destination`, as asyncssh does when it connects."""
        options: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
            None, host=destination.host, config=self.config, **destination.given
        )
        canonical = await asyncssh.connection._canonicalize_host(asyncio.get_running_loop(), options)
        final = options.config.has_match_final()
        if canonical or final:
            options.update(host=canonical or options.orig_host, reload=True, canonical=bool(canonical), final=final)
        return options

    def _files(self, options: asyncssh.SSHClientConnectionOptions) -> list[str]:
        """The files that know hosts, the first of them to be added to; whether they are there is another question."""
        if self.known_hosts:
            return [str(self.known_hosts)]
        # Not asyncssh's list, which believes anybody after `UserKnownHostsFile none` and has none of the user's own
        # files beside a GlobalKnownHostsFile.
        own = cast(list[str] | None, options.config.get("UserKnownHostsFile"))
        everybodys = cast(list[str] | None, options.config.get("GlobalKnownHostsFile"))
        if everybodys is None:
            # Nobody has named these: one that isn't there is none to add a key to, one that is root's alone no error.
            everybodys = [name for name in GLOBAL_KNOWN_HOSTS if os.access(name, os.R_OK)]
        return [*(KNOWN_HOSTS if own is None else (_expanded(name, options) for name in own)), *everybodys]

    def _known(self, options: asyncssh.SSHClientConnectionOptions) -> Any:
        there = [str(path) for name in self._files(options) if (path := Path(name).expanduser()).exists()]
        # An empty list would be the user's own file.
        return there or asyncssh.import_known_hosts("")

    async def _untrusted(
        self,
        destination: Destination,
        options: asyncssh.SSHClientConnectionOptions,
        via: asyncssh.SSHClientConnection | None,
        role: str,
        why: str,
    ) -> HostError:
        key = None
        # Its own five seconds: a slow host has used up most of the time for connecting, and the key is the remedy.
        self.within.reschedule(None)
        with contextlib.suppress(asyncssh.Error, OSError, TimeoutError):
            async with asyncio.timeout(5):
                key = await asyncssh.get_server_host_key(
                    destination.host, destination.port or (), config=self.config, tunnel=via
                )
        fingerprint = f"{key.get_algorithm()} {key.get_fingerprint()}" if key else "unknown"
        return HostError(
            f"{role} host key isn't known here, or isn't the one that is known",
            why=f"It presents {fingerprint}. ({why})",
            remedy=f"Compare that with `ssh-keygen -lf /etc/ssh/ssh_host_{_kind(key)}_key.pub` on the machine's "
            f"console; if it is the same: {self._pin(options, key)}",
        )

    def _pin(self, options: asyncssh.SSHClientConnectionOptions, key: asyncssh.SSHKey | None) -> str:
        """What to type so that the key is known."""
        if not (files := self._files(options)):
            return "name a file that has it; the SSH configuration says `UserKnownHostsFile none`, which knows no host."
        file = files[0] if files[0].startswith("~") else shlex.quote(files[0])
        host, port = options.host, options.port
        if key is None:
            return f"ssh-keyscan {'' if port == SSH_PORT else f'-p {port} '}{host} >> {file}"
        # OpenSSH adds no port to an alias.
        named = options.host_key_alias or (host if port == SSH_PORT else f"[{host}]:{port}")
        return f"echo {shlex.quote(f'{named} {key.export_public_key().decode().strip()}')} >> {file}"


def _kind(key: asyncssh.SSHKey | None) -> str:
    """What sshd calls it in the name of its file."""
    found = re.search("ecdsa|rsa", key.get_algorithm()) if key else None
    return found[0] if found else "ed25519"


def _expanded(name: str, options: asyncssh.SSHClientConnectionOptions) -> str:
    """A UserKnownHostsFile with its tokens and environment variables replaced: asyncssh does that for other options."""
    config = options.config
    config._tokens |= {
        "j": cast(str | None, config.get("ProxyJump")) or "",
        "k": options.host_key_alias or options.orig_host,
    }
    return config._expand_val(name)
