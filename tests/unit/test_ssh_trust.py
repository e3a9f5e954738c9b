"""Whom an SSH connection trusts: the hosts that known_hosts has, jump hosts among them, and nobody else."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from portside.errors import HostError
from portside.host.dialling import Destination
from portside.host.quick import asyncssh
from portside.host.ssh import connect, offered_methods

DEADLINE = 10.0
# 127 in the domain 0.0.1 is found without any DNS.
SHORT_NAME = "Host 127\n  CanonicalizeHostname yes\n  CanonicalDomains 0.0.1\n"


class Doorman(asyncssh.SSHServer):
    """Lets everybody in, and through."""

    def __init__(self, visits: list[str], name: str) -> None:
        self._visits, self._name = visits, name

    def begin_auth(self, username: str) -> bool:
        self._visits.append(self._name)
        return False

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


@dataclass(frozen=True)
class Machine:
    """An sshd on this machine: `name` is what the ssh_config calls it."""

    name: str
    port: int
    key: asyncssh.SSHKey

    @property
    def known(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.key.export_public_key().decode()}"

    def block(self, *lines: str) -> str:
        return "\n  ".join([f"Host {self.name}", "HostName 127.0.0.1", f"Port {self.port}", *lines]) + "\n"


@dataclass
class Place:
    """Machines `web`, `bastion` and `gate`, and the names of those that were logged in to."""

    web: Machine
    bastion: Machine
    gate: Machine
    folder: Path
    visits: list[str]

    async def connect(self, config: Iterable[str], known: Iterable[Machine] | None, to: str = "web") -> None:
        host = await connect(to, ssh_config=self.config(config), known_hosts=self.known(known), deadline=DEADLINE)
        await host.close()

    def config(self, blocks: Iterable[str]) -> Path:
        (self.folder / "ssh_config").write_text("".join(blocks))
        return self.folder / "ssh_config"

    def known(self, machines: Iterable[Machine] | None) -> Path | None:
        if machines is None:
            return None
        (self.folder / "known_hosts").write_text("".join(machine.known for machine in machines))
        return self.folder / "known_hosts"


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setenv("HOME", str(tmp_path))
    visits: list[str] = []

    def doorman(name: str) -> Callable[[], Doorman]:
        return lambda: Doorman(visits, name)

    async with AsyncExitStack() as stack:
        machines = {}
        for name in ("web", "bastion", "gate"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            server = await stack.enter_async_context(
                asyncssh.listen("127.0.0.1", 0, server_factory=doorman(name), server_host_keys=[key])
            )
            machines[name] = Machine(name, server.get_port(), key)
        yield Place(**machines, folder=tmp_path, visits=visits)


async def type_what_it_says(error: HostError) -> str:
    """The command by which an error would have a key known, typed."""
    pin = error.remedy.partition("if it is the same: ")[2]
    await (await asyncio.create_subprocess_exec("sh", "-c", pin)).wait()
    return pin


async def test_a_jump_host_that_is_pinned_is_trusted(place: Place) -> None:
    await place.connect([place.web.block("ProxyJump bastion"), place.bastion.block()], [place.web, place.bastion])
    assert place.visits == ["bastion", "web"]


async def test_jump_hosts_are_gone_through_in_their_order(place: Place) -> None:
    blocks = [place.web.block("ProxyJump gate,bastion"), place.gate.block(), place.bastion.block()]
    await place.connect(blocks, [place.web, place.bastion, place.gate])
    assert place.visits == ["gate", "bastion", "web"]


async def test_a_jump_host_for_all_hosts_is_none_for_itself(place: Place) -> None:
    blocks = [place.web.block(), place.bastion.block(), "Host *\n  ProxyJump bastion\n"]
    await place.connect(blocks, [place.web, place.bastion])
    assert place.visits == ["bastion", "web"]


@pytest.mark.parametrize("to", ["bastion", "ada@bastion"])
async def test_what_is_its_own_jump_host_is_reached_directly(place: Place, to: str) -> None:
    await place.connect([place.bastion.block(), "Host *\n  ProxyJump bastion\n"], [place.bastion], to=to)
    assert place.visits == ["bastion"]


async def test_another_port_of_the_same_name_is_a_jump_host(place: Place) -> None:
    await place.connect([place.web.block(f"ProxyJump web:{place.bastion.port}")], [place.web, place.bastion])
    assert place.visits == ["bastion", "web"]


async def test_another_user_of_the_same_host_is_a_jump_host(place: Place) -> None:
    await place.connect([place.web.block("User ada", "ProxyJump eve@web")], [place.web])
    assert place.visits == ["web", "web"]


async def test_an_address_in_brackets_is_a_jump_host(place: Place) -> None:
    blocks = [place.web.block(f"ProxyJump [127.0.0.1]:{place.bastion.port}")]
    await place.connect(blocks, [place.web, place.bastion])
    assert place.visits == ["bastion", "web"]
    assert Destination.parse("ada@[2001:db8::1]:2222") == Destination("2001:db8::1", "ada", 2222)


async def test_a_jump_host_may_be_a_uri(place: Place) -> None:
    jumps = f"ssh://eve@127.0.0.1:{place.bastion.port}/,ssh://gate"
    machines = [place.web, place.bastion, place.gate]
    await place.connect([place.web.block(f"ProxyJump {jumps}"), place.gate.block()], machines)
    assert place.visits == ["bastion", "gate", "web"]
    assert Destination.hop("ssh://eve@[2001:db8::1]:2222/") == Destination("2001:db8::1", "eve", 2222)
    assert Destination.hop("ssh://eve@bastion") == Destination("bastion", "eve")


@pytest.mark.parametrize("hop", ["ssh://bastion:ssh", "2001:db8::1", "bastion:ssh", "bastion,"])
async def test_a_jump_host_that_can_be_none_is_an_error_that_names_the_option(place: Place, hop: str) -> None:
    with pytest.raises(HostError, match=re.escape(f"its ProxyJump {hop!r} can't be read")) as caught:
        await place.connect([place.web.block(f"ProxyJump {hop}"), place.bastion.block()], [])
    assert "[user@]host[:port]" in caught.value.why
    assert str(place.folder / "ssh_config") in caught.value.remedy


async def test_what_counts_in_the_end_takes_no_jump_host_away(place: Place) -> None:
    known = f"UserKnownHostsFile {place.known([place.web, place.bastion])}"
    blocks = [place.web.block("ProxyJump bastion", known), place.bastion.block(known)]
    await place.connect([*blocks, "Match final\n  ServerAliveInterval 30\n"], None)
    assert place.visits == ["bastion", "web"]


async def test_a_name_is_made_whole_before_its_jump_hosts_and_known_hosts_are_looked_up(place: Place) -> None:
    known = f"UserKnownHostsFile {place.known([place.web, place.bastion])}"
    whole = replace(place.web, name="127.0.0.1").block("ProxyJump bastion", known)
    await place.connect([SHORT_NAME, whole, place.bastion.block(known)], None, to="127")
    assert place.visits == ["bastion", "web"]


async def test_a_name_that_was_made_whole_is_no_jump_host_for_itself(place: Place) -> None:
    whole = replace(place.web, name="127.0.0.1").block("ProxyJump 127.0.0.1")
    await place.connect([SHORT_NAME, whole], [place.web], to="127")
    assert place.visits == ["web"]


async def test_a_jump_host_that_isn_t_pinned_is_what_the_error_is_about(place: Place) -> None:
    with pytest.raises(HostError) as caught:
        await place.connect([place.web.block("ProxyJump bastion"), place.bastion.block()], [place.web])
    assert caught.value.where == "web"
    assert caught.value.what.startswith("its jump host bastion's host key isn't known")
    assert place.bastion.key.get_fingerprint() in caught.value.why
    assert f"echo '{place.bastion.known.strip()}' >> {place.folder}" in caught.value.remedy
    assert place.visits == []


async def test_a_host_behind_a_jump_host_is_pinned_by_the_key_it_presents(place: Place) -> None:
    with pytest.raises(HostError) as caught:
        await place.connect([place.web.block("ProxyJump bastion"), place.bastion.block()], [place.bastion])
    assert place.web.key.get_fingerprint() in caught.value.why
    assert f"echo '{place.web.known.strip()}' >> {place.folder}" in caught.value.remedy


@pytest.mark.slow
async def test_a_host_that_takes_up_the_time_for_connecting_is_still_told_by_its_key(place: Place) -> None:
    deadline, arrivals = 4.0, itertools.count()

    def slow_the_second_time() -> Doorman:
        if next(arrivals):
            time.sleep(deadline)
        return Doorman(place.visits, "web")

    key = place.web.key
    async with asyncssh.listen("127.0.0.1", 0, server_factory=slow_the_second_time, server_host_keys=[key]) as server:
        config = place.config([replace(place.web, port=server.get_port()).block()])
        with pytest.raises(HostError, match="host key isn't known") as caught:
            await connect("web", ssh_config=config, known_hosts=place.known([]), deadline=deadline)
    assert key.get_fingerprint() in caught.value.why


@pytest.mark.parametrize("lines", ["Host *\n  UserKnownHostsFile none\n", "Match final\n  UserKnownHostsFile none\n"])
async def test_no_setting_makes_an_unknown_host_a_trusted_one(place: Place, lines: str) -> None:
    with pytest.raises(HostError, match="host key isn't known") as caught:
        await place.connect([place.web.block(), lines], None)
    assert "`UserKnownHostsFile none`" in caught.value.remedy
    assert place.visits == []


async def test_without_files_of_the_user_s_own_the_global_one_still_counts(place: Place) -> None:
    everybody = f"Host *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile {place.known([place.bastion])}\n"
    await place.connect([replace(place.bastion, name="web").block(), everybody], None)
    assert place.visits == ["bastion"]
    with pytest.raises(HostError, match="host key isn't known") as caught:
        await place.connect([place.web.block(), everybody], None)
    assert caught.value.remedy.endswith(f"echo '{place.web.known.strip()}' >> {place.folder}/known_hosts")


@pytest.mark.parametrize("lines", [[], ["UserKnownHostsFile none"]])
async def test_what_this_machine_knows_counts_unless_the_configuration_names_another_global_file(
    place: Place, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    monkeypatch.setattr(
        "portside.host.dialling.GLOBAL_KNOWN_HOSTS", ("/nowhere/ssh_known_hosts", f"{place.folder}/etc")
    )
    (place.folder / "etc").write_text(place.web.known)
    await place.connect([place.web.block(*lines)], None)
    assert place.visits == ["web"]
    with pytest.raises(HostError, match="host key isn't known"):
        await place.connect([place.web.block(*lines, "GlobalKnownHostsFile ~/other")], None)
    with pytest.raises(HostError, match="host key isn't known"):
        await place.connect([place.web.block(*lines)], [])


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("known_hosts", []),
        ("known_hosts2", []),
        ("known_hosts", ["UserKnownHostsFile ~/.ssh/nothing ~/.ssh/known_hosts"]),
        ("known_hosts", ["GlobalKnownHostsFile ~/global"]),
        ("known_hosts", ["GlobalKnownHostsFile /nowhere/known_hosts"]),
        ("web", ["UserKnownHostsFile %d/.ssh/%k"]),
        ("shop-web-bastion", ["HostKeyAlias shop", "ProxyJump bastion", "UserKnownHostsFile ${HOME}/.ssh/%k-%n-%j"]),
    ],
)
async def test_every_file_that_openssh_would_read_counts_and_none_has_to_be_there(
    place: Place, file: str, lines: list[str]
) -> None:
    (place.folder / ".ssh").mkdir()
    (place.folder / ".ssh" / file).write_text(f"{place.web.known}shop {place.web.known.split(maxsplit=1)[1]}")
    (place.folder / "global").write_text(place.bastion.known)
    jump = place.bastion.block("UserKnownHostsFile ~/global")
    await place.connect([place.web.block(*lines), jump], None)
    assert place.visits[-1] == "web"


@pytest.mark.parametrize("lines", [[], ["UserKnownHostsFile none", "GlobalKnownHostsFile ~/new"]])
async def test_a_file_that_isn_t_there_yet_knows_nobody_and_is_the_one_to_add_a_key_to(
    place: Place, lines: list[str]
) -> None:
    new = None if lines else place.folder / "new"
    (place.folder / ".ssh").mkdir()
    (place.folder / ".ssh/known_hosts").write_text(place.web.known)
    config = place.config([place.web.block(*lines)])
    with pytest.raises(HostError, match="host key isn't known") as caught:
        await connect("web", ssh_config=config, known_hosts=new, deadline=DEADLINE)
    assert place.web.key.get_fingerprint() in caught.value.why
    assert caught.value.remedy.endswith(f">> {new or '~/new'}")
    assert place.visits == []


async def test_the_file_that_ssh_config_names_is_the_one_to_add_a_key_to(place: Place) -> None:
    (place.folder / "other").touch()
    with pytest.raises(HostError) as caught:
        await place.connect([place.web.block(f"UserKnownHostsFile {place.folder}/other")], None)
    assert caught.value.remedy.endswith(f"echo '{place.web.known.strip()}' >> {place.folder}/other")


@pytest.mark.parametrize(("algorithm", "kind"), [("ecdsa-sha2-nistp256", "ecdsa"), ("ssh-rsa", "rsa")])
async def test_a_host_without_an_ed25519_key_is_pinned_by_the_one_it_has(
    place: Place, algorithm: str, kind: str
) -> None:
    key, known = asyncssh.generate_private_key(algorithm), place.folder / "known by us"
    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=lambda: Doorman(place.visits, "web"), server_host_keys=[key]
    ) as server:
        config = place.config([replace(place.web, port=server.get_port()).block()])
        with pytest.raises(HostError, match="host key isn't known") as caught:
            await connect("web", ssh_config=config, known_hosts=known, deadline=DEADLINE)
        assert f"ssh_host_{kind}_key.pub" in caught.value.remedy
        await type_what_it_says(caught.value)
        await (await connect("web", ssh_config=config, known_hosts=known, deadline=DEADLINE)).close()


async def test_a_host_that_is_known_by_an_alias_is_pinned_by_it(place: Place) -> None:
    known = place.folder / "other"
    known.touch()
    config = [place.web.block("HostKeyAlias shop", f"UserKnownHostsFile {known}")]
    with pytest.raises(HostError) as caught:
        await place.connect(config, None)
    assert (await type_what_it_says(caught.value)).startswith("echo 'shop ssh-ed25519 ")
    await place.connect(config, None)
    assert place.visits == ["web"]


async def test_how_one_may_log_in_is_asked_through_a_pinned_jump_host_alone(place: Place) -> None:
    config = place.config([place.web.block("ProxyJump bastion"), place.bastion.block()])

    async def offered(known: list[Machine]) -> frozenset[str] | None:
        return await offered_methods("web", ssh_config=config, known_hosts=place.known(known), deadline=DEADLINE)

    assert await offered([place.bastion]) is not None
    assert await offered([]) is None
