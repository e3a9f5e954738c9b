"""Make a fresh Debian or Ubuntu machine a host: what it lacks as a list of steps, then the steps.

The script on the host is portside/host/scripts/bootstrap.sh. What is installed, and from where, is known by
portside/engine.py alone, which does the same for this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from portside.engine import APT_SECONDS, DEBIAN_MIRROR, LOG_FILE, START_SECONDS, installation_for
from portside.errors import HostError, PreflightError
from portside.preflight import MINIMUM_COMPOSE, MINIMUM_ENGINE, at_least

STEP_SECONDS = 60.0
# What could lock everybody out is taken away again unless a new connection comes through within this time.
TRIAL_SECONDS = 30
NFT_PACKAGE = "nftables"
# What the nodes of a Swarm say to each other: managers, gossip, overlay networks.
# https://docs.docker.com/engine/swarm/swarm-tutorial/#open-protocols-and-ports-between-the-hosts
SWARM_PORTS = ("tcp dport { 2377, 7946 }", "udp dport { 4789, 7946 }")


@dataclass(frozen=True)
class Facts:
    """What a machine has, as the script's `look` tells it. Versions are "" where there is nothing.

    `foreign`: a Docker that isn't the distribution's, as the name of its package or the path of its program.
    """

    os_release: Mapping[str, str]
    systemd: bool = False
    foreign: str = ""
    installed: str = ""
    engine: str = ""
    compose: str = ""
    at_boot: bool = False
    user: bool = False
    group: bool = False
    key: bool = False
    folder: bool = False
    ssh_ports: frozenset[int] = frozenset()
    nft: bool = False
    firewall: str = ""
    ufw: bool = False
    ufw_ports: frozenset[int] = frozenset()
    ufw_peers: frozenset[str] = frozenset()
    swarm: bool = False


@dataclass(frozen=True)
class Wish:
    """What a host is to have. `ports` are to be open in a firewall; None leaves the firewall alone.

    `peers` are the networks, as 10.0.0.0/24, that the other nodes of a Swarm talk from.
    `options` stand before the key in authorized_keys, and `may` says for a person what they leave to it.
    """

    user: str
    key: str
    options: str = ""
    may: str = ""
    ports: tuple[int, ...] | None = None
    peers: tuple[str, ...] = ()
    mirror: str = DEBIAN_MIRROR

    @property
    def key_blob(self) -> str:
        """The key itself, by which it is recognised whatever its comment or options."""
        return self.key.split()[1]


@dataclass(frozen=True)
class Step:
    """One thing to do on a host: the script's word for it, its arguments, and what a person is told.

    `keep` is the script's word for ending the trial that the step begins; only a new connection can say it.
    `disrupts`: what runs there is away for a moment, so it is one host's turn after the other.
    `stdin` is for what may hold somebody's secret: whoever is on the host sees arguments, and sudo logs them.
    """

    name: str
    what: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = STEP_SECONDS
    script: str = "bootstrap"
    keep: str = ""
    disrupts: bool = False
    stdin: str = field(default="", repr=False)


def parse_facts(text: str, host: str) -> Facts:
    """Parse what `look` printed. Raises HostError when it makes no sense."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name, []).append(value.strip())
    if "uid" not in values:
        raise HostError("what the machine says of itself can't be understood", where=host, why=text[-500:])

    def one(name: str) -> str:
        return values.get(name, [""])[0]

    return Facts(
        os_release=dict(_assignment(line) for line in values.get("os_release", [])),
        systemd=bool(one("systemd")),
        foreign=one("foreign"),
        installed=one("installed"),
        engine=one("engine"),
        compose=one("compose"),
        at_boot=bool(one("at_boot")),
        user=bool(one("user")),
        group=bool(one("group")),
        key=bool(one("key")),
        folder=bool(one("folder")),
        ssh_ports=_numbers(values.get("ssh_port", [])),
        nft=bool(one("nft")),
        firewall=one("firewall"),
        ufw=bool(one("ufw")),
        ufw_ports=_numbers(values.get("ufw_port", [])),
        ufw_peers=_networks(values.get("ufw_peer", [])),
        swarm=bool(one("swarm")),
    )


def needed(facts: Facts, wish: Wish, host: str) -> tuple[Step, ...]:
    """The steps that `host` still needs; none when it is as it should be. Raises PreflightError where it can't be."""
    return (*_engine_steps(facts, wish, host), *_user_steps(facts, wish), *_firewall_steps(facts, wish, host))


def _engine_steps(facts: Facts, wish: Wish, host: str) -> Iterable[Step]:
    if facts.foreign.startswith("/"):
        raise PreflightError(
            f"its Docker Engine {facts.engine} comes from no package: there is {facts.foreign}, and no dockerd",
            where=host,
            remedy="Save what runs in it, remove it there (a snap: sudo snap remove docker), then type the same again.",
        )
    packages: list[str] = []
    files: list[str] = []
    if not (at_least(facts.installed, MINIMUM_ENGINE) and at_least(facts.compose, MINIMUM_COMPOSE)):
        plan = installation_for(facts.os_release, wish.mirror)
        if facts.foreign:
            raise PreflightError(
                f"its {facts.foreign} is too old: Engine {facts.installed}, Compose {facts.compose or 'missing'}",
                where=host,
                remedy="Type there: sudo apt-get update && sudo apt-get install docker-ce docker-compose-plugin",
            )
        if plan is None:
            raise PreflightError(
                f"{facts.os_release.get('PRETTY_NAME', 'this system')} is neither Debian nor Ubuntu",
                where=host,
                remedy="Install Docker Engine 25 or newer with Compose v2 by hand (docs/hosts.md), then type this.",
            )
        # Certificates, because pulling from a registry needs them.
        packages += [*plan.packages, "ca-certificates"]
        files += [text for file in plan.files for text in file]
    if wish.ports is not None and not facts.ufw and not facts.nft:
        packages.append(NFT_PACKAGE)
    if packages:
        arguments = (*packages, "--", *files)
        # An Engine that is there and too old is restarted by its package.
        again = bool(facts.installed) and packages != [NFT_PACKAGE]
        yield Step("packages", f"install {' '.join(packages)}", arguments, 2 * APT_SECONDS, disrupts=again)
    if not at_least(facts.engine, MINIMUM_ENGINE) or (facts.systemd and not facts.at_boot):
        reboot = "and at every boot" if facts.systemd else "(no systemd here: start it yourself after a reboot)"
        arguments = (f"{START_SECONDS:.0f}", str(LOG_FILE))
        yield Step("engine", f"start the Docker Engine, now {reboot}", arguments, START_SECONDS + STEP_SECONDS)


def _user_steps(facts: Facts, wish: Wish) -> Iterable[Step]:
    root = wish.user == "root"
    if not facts.user:
        yield Step("user", f"create the user {wish.user}, who may use Docker", (wish.user,))
    elif not facts.group and not root:
        yield Step("user", f"let {wish.user} use Docker", (wish.user,))
    if not facts.key:
        comment = " ".join(wish.key.split()[2:]) or f"{wish.key_blob[:12]}…"
        line = f"{wish.options} {wish.key}".lstrip()
        what = f"let the key {comment} log in as {wish.user}{', for ' if wish.may else ''}{wish.may}"
        yield Step("key", what, (wish.user, line))
    if not facts.folder:
        yield Step("folder", f"make ~{wish.user}/.portside", (wish.user,))


def _firewall_steps(facts: Facts, wish: Wish, host: str) -> Iterable[Step]:
    if wish.ports is None:
        return
    if not facts.ssh_ports:
        raise PreflightError(
            "the port of its sshd isn't known, so a firewall could lock everybody out",
            where=host,
            remedy="Leave out --firewall, or open SSH's port by hand first.",
        )
    if facts.swarm and not wish.peers:
        raise PreflightError(
            "it is a node of a Swarm, which a firewall would cut off from the others",
            where=host,
            remedy="Type this for the environment that the Swarm belongs to, with its swarm_networks: docs/scaling.md",
        )
    ports = sorted({*wish.ports, *facts.ssh_ports})
    shown = ", ".join(map(str, ports))
    if facts.ufw:
        # SSH's is open, or we weren't here; for whom is the owner's decision.
        closed = [port for port in sorted(wish.ports) if port not in {*facts.ufw_ports, *facts.ssh_ports}]
        if closed:
            yield Step("ufw_allow", f"open {', '.join(map(str, closed))} in ufw", tuple(map(str, closed)))
        strange = tuple(peer for peer in wish.peers if peer not in facts.ufw_peers)
        if strange:
            yield Step("ufw_peers", f"open the Swarm's ports in ufw to {', '.join(strange)}", strange)
        return
    rules = firewall_rules(ports, wish.peers)
    shown += f", and the Swarm's to {', '.join(wish.peers)}" if wish.peers else ""
    if facts.firewall != hashlib.sha256(rules.encode()).hexdigest():
        yield Step("firewall", f"close every port but {shown}", (rules, str(TRIAL_SECONDS)), keep="firewall_keep")


def firewall_rules(ports: Collection[int], peers: Collection[str] = ()) -> str:
    """A table of its own for nft: other tables, Docker's among them, stay as they are. To `peers` a Swarm is open.

    It is about connections to the machine itself. What Docker publishes doesn't come through here.
    """
    return f"""# Made by `invoke host-bootstrap --firewall`, which replaces it.
table inet portside
delete table inet portside
table inet portside {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "lo" accept
    iifname "docker0" accept
    iifname "br-*" accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    udp dport {{ 68, 546 }} accept
    tcp dport {{ {", ".join(map(str, sorted(ports)))} }} accept
{_open_to(peers)}  }}
}}
"""


def _open_to(peers: Collection[str]) -> str:
    """A Swarm's ports to its nodes, ESP for overlay networks that are encrypted; containers reach their own node."""
    rules = ['iifname "docker_gwbridge"'] if peers else []
    for peer in peers:
        source = f"{'ip6' if ':' in peer else 'ip'} saddr {peer}"
        rules += [f"{source} {what}" for what in (*SWARM_PORTS, "meta l4proto esp")]
    return "".join(f"    {rule} accept\n" for rule in rules)


def _assignment(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    try:
        return name, "".join(shlex.split(value))
    except ValueError:
        return name, value


def _networks(values: Iterable[str]) -> frozenset[str]:
    """ufw leaves out the length of a network that is one address."""
    found = set()
    for value in values:
        with contextlib.suppress(ValueError):
            found.add(str(ip_network(value)))
    return frozenset(found)


def _numbers(values: Iterable[str]) -> frozenset[int]:
    """Of numbers, lists of them and ranges, as ufw writes them."""
    found: set[int] = set()
    for part in (part for value in values for part in value.split(",")):
        first, _, last = part.partition(":")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
