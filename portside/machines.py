"""A machine while it is being made a host: connected as an administrator, looked at, and what it then needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from portside.bootstrap import STEP_SECONDS, Facts, Step, Wish, needed, parse_facts
from portside.command import run_command
from portside.config import Environment
from portside.engine import debian_mirror, ensure_engine
from portside.errors import CommandError, ConfigError, HostError
from portside.fleet import connected, everywhere
from portside.hardening import keys
from portside.hardening.look import look
from portside.hardening.plan import Hardening, hardened, what_a_key_may
from portside.hardening.upgrades import reboot_time
from portside.host.base import Host
from portside.host.script import root_argv


@dataclass(frozen=True)
class Asked:
    """What a person asks for: which host (None: all), as whom to log in, which key to let in and for what."""

    host: str | None
    user: str
    key: str | None
    person: bool
    firewall: bool


@dataclass(frozen=True)
class Machine:
    """One host while it is being made one. `name` is its destination, `host` the connection of an administrator.

    `notes` is what is left as its owner has it.
    """

    name: str
    host: Host
    sudo: bool
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def chosen(environment: Environment, only: str | None) -> list[str]:
    """The destinations to make hosts of. Raises ConfigError."""
    found = [name for name in environment.hosts if only in (None, name, name.rpartition("@")[2])]
    if not found:
        raise ConfigError(
            f"no host {only!r} in {environment.name}",
            where="--host",
            remedy=f"It has: {', '.join(environment.hosts)}.",
        )
    return found


async def public_key(path: Path | None) -> str:
    """The public key that may log in: the file's, else the SSH agent's first, else the first of ~/.ssh/*.pub.

    Raises ConfigError when there is none, or when the file holds something else.
    """
    import asyncssh  # noqa: PLC0415 - only loaded where SSH is used

    where, text = "--key", ""
    if path is None:
        with contextlib.suppress(CommandError):
            listed = await run_command(["ssh-add", "-L"], timeout=10)
            text = _without_certificates(listed.text) if listed.exit_code == 0 else ""
        if text:
            where = "the SSH agent"
        else:
            path = next(_public_keys(Path("~/.ssh").expanduser()), None)  # noqa: ASYNC240 - one small local folder
    if path is not None:
        where = str(path)
        try:
            text = path.expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("the public key can't be read", where=where, why=str(error)) from None
        if "PRIVATE KEY" in text:
            raise ConfigError("this is a private key", where=where, remedy=f"Give its public half: --key {path}.pub")
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not line:
        raise ConfigError(
            "there is no public key to let in",
            where=where,
            remedy="Name one with --key, or make one: ssh-keygen -t ed25519",
        )
    try:
        asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ConfigError("this is not a public SSH key", where=where, why=str(error)) from None
    return line


def _without_certificates(listed: str) -> str:
    """An agent lists a certificate beside its key, and so does a folder: authorized_keys takes the key."""
    return "\n".join(line for line in listed.splitlines() if "-cert-v01@" not in line.partition(" ")[0])


def _public_keys(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.glob("*.pub")) if not file.name.endswith("-cert.pub"))


@contextlib.asynccontextmanager
async def opened(environment: Environment, asked: Asked, say: Callable[[str], None]) -> AsyncIterator[list[Machine]]:
    """The machines, connected and looked at. This machine isn't one: of it, only the proxy is set up."""
    if environment.local:
        await ensure_engine(say)
        yield []
        return
    from portside.host.ssh import login_name  # noqa: PLC0415 - asyncssh is only loaded where SSH is used

    if asked.firewall and environment.swarm and not environment.swarm_networks:
        raise ConfigError(
            "a firewall would cut the nodes of the Swarm off from each other",
            where=f"portside.toml: env.{environment.name}.swarm_networks",
            remedy='Say where the nodes talk from: swarm_networks = ["10.0.0.0/24"]',
        )
    names = chosen(environment, asked.host)
    public = await public_key(Path(asked.key) if asked.key else None)
    administrators = {f"{asked.user}@{name.rpartition('@')[2]}": name for name in names}

    async def wish(name: str) -> Wish:
        user = await login_name(name, environment.ssh_config)
        harden = environment.harden and user != "root"
        person = _persons(asked, user)
        return Wish(
            user=user,
            key=public,
            options=keys.options(keys.HOME, person=person) if harden else "",
            may=what_a_key_may(person=person) if harden else "",
            ports=tuple(sorted({80, 443, *environment.ports})) if asked.firewall else None,
            peers=tuple(map(str, environment.swarm_networks)),
            mirror=debian_mirror(os.environ),
        )

    async with connected(environment, list(administrators)) as hosts:

        async def look_at(host: Host) -> Machine:
            name = administrators[host.name]
            return await _look(environment, asked, name, host, await wish(name))

        yield await everywhere(hosts, look_at)


def _persons(asked: Asked, user: str) -> bool:
    """Who administers a host as its deploy user needs more of that key than a release does."""
    return asked.person or asked.user == user


async def _look(environment: Environment, asked: Asked, name: str, host: Host, wish: Wish) -> Machine:
    uid = (await host.run(["id", "-u"], timeout=STEP_SECONDS)).check().text
    root = uid == "0"
    sudo = not root and (await host.run(["sudo", "-n", "true"], timeout=STEP_SECONDS)).exit_code == 0
    facts = await _facts(name, host, wish, sudo=sudo)
    hard: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    if environment.harden:
        wanted = Hardening(
            user=wish.user,
            key=wish.key,
            login=asked.user,
            person=_persons(asked, wish.user),
            reboot=reboot_time(environment.reboot_at, environment.hosts.index(name)),
        )
        hard, notes = hardened(await look(host, wish.user, sudo=sudo, swarm=environment.swarm), wanted, name)
    if not root and not sudo:
        _unprivileged(facts, wish, host.name)
        missing = tuple(f"not done, because this user isn't root: {step.what}" for step in hard)
        return Machine(name, host, sudo, (), (*missing, *notes))
    return Machine(name, host, sudo, (*needed(facts, wish, name), *hard), notes)


async def _facts(name: str, host: Host, wish: Wish, *, sudo: bool) -> Facts:
    looked = await host.run(root_argv("bootstrap", "look", wish.user, wish.key_blob, sudo=sudo), timeout=STEP_SECONDS)
    facts = parse_facts(looked.check("the machine can't be looked at").text, name)
    # client address, client port, server address, server port: what this connection uses must stay open.
    connection = (await host.run(["printenv", "SSH_CONNECTION"], timeout=STEP_SECONDS)).text.split()
    ports = {int(connection[3])} if len(connection) == 4 else set[int]()
    return replace(facts, ssh_ports=facts.ssh_ports | ports)


def _unprivileged(facts: Facts, wish: Wish, where: str) -> None:
    """Whoever isn't root can still apply the proxy's settings on a host that can take releases already."""
    missing = needed(replace(facts, key=True), wish, where)
    if missing:
        raise HostError(
            "this user may not become root without a password, which is needed",
            where=where,
            why="\n".join(f"{step.name}: {step.what}" for step in missing),
            remedy="Allow it sudo with NOPASSWD, or name another user: --user root",
        )
