"""How a host is set up against intruders, parsed from the sections that portside/host/scripts/posture.sh prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from portside.errors import HostError
from portside.hardening import keys
from portside.hardening.keys import Line

# 0.0.0.0:80->80/tcp, [::]:80->80/tcp: on every address of the host, whatever its firewall says.
OPEN = re.compile(r"(?:0\.0\.0\.0|\[?::\]?):([\d-]+)->")


@dataclass(frozen=True)
class Published:
    """A container whose ports are open to everybody who reaches the host."""

    name: str
    role: str
    project: str
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Posture:
    """What a host says; None is for what whoever asked couldn't find out."""

    system: str = ""
    systemd: bool = False
    reboot_required: bool = False
    unreadable: frozenset[str] = frozenset()
    # sshd's files by path.
    sshd: Mapping[str, str] = field(default_factory=dict)
    # daemon.json, dockerd's arguments, and what the Engine itself answers.
    daemon: str = ""
    daemon_hash: str = ""
    flags: tuple[str, ...] = ()
    live_restore: bool | None = None
    swarm: bool = False
    userland_proxies: int = 0
    published: tuple[Published, ...] = ()
    # The package, systemd's timers that start it, our file, and what apt makes of all files.
    upgrades: bool = False
    timers: frozenset[str] = frozenset()
    apt_file: str = ""
    apt: tuple[str, ...] = ()
    # The deploy user's.
    groups: frozenset[str] = frozenset()
    home: str = ""
    password: bool | None = None
    sudo: bool = False
    keys: tuple[Line, ...] = ()
    # Sites that somebody is releasing to just now.
    busy: frozenset[str] = frozenset()
    # Our rules as they are on disk.
    nft: str = ""
    nft_at_boot: bool = False
    nft_in_force: bool | None = None
    ufw: bool = False


def parse_posture(text: str, host: str) -> Posture:
    """Raises HostError for what makes no sense."""
    sections: dict[str, list[str]] = {}
    sshd: dict[str, str] = {}
    unreadable: set[str] = set()
    for name, argument, lines in _sections(text):
        if name == "sshd":
            sshd[argument] = "\n".join(lines)
        elif name == "unreadable":
            unreadable.add(argument)
        else:
            sections[name] = lines
    if "end" not in sections or "machine" not in sections:
        raise HostError("what the machine says of itself can't be understood", where=host, why=text[-500:])
    machine, docker = _pairs(sections["machine"]), _pairs(sections["docker"])
    account, firewall = _pairs(sections["account"]), _pairs(sections["firewall"])
    root = machine.get("uid") == ["0"]
    return Posture(
        system=_first(machine, "system"),
        systemd="systemd" in machine,
        reboot_required="reboot_required" in machine,
        unreadable=frozenset(unreadable),
        sshd=sshd,
        daemon=_whole(sections.get("daemon")),
        daemon_hash=_first(docker, "daemon_hash"),
        flags=tuple(docker.get("flag", [])),
        live_restore=_first(docker, "live_restore") == "true" if "live_restore" in docker else None,
        swarm=_first(docker, "swarm") in ("active", "locked", "pending"),
        userland_proxies=int(_first(docker, "userland_proxies") or 0),
        published=tuple(_published(sections["published"])),
        upgrades="installed" in _pairs(sections["upgrades"]),
        timers=frozenset(_pairs(sections["upgrades"]).get("timer", [])),
        apt_file=_whole(sections.get("apt_file")),
        apt=tuple(sections["apt"]),
        groups=frozenset(_first(account, "groups").split()),
        home=_first(account, "home"),
        password="password" in account if root else None,
        sudo="sudo" in account,
        busy=frozenset(account.get("busy", [])),
        keys=tuple(line for text in sections.get("keys", []) if (line := keys.parse(text))),
        nft=_whole(sections.get("nft")),
        nft_at_boot="at_boot" in firewall,
        nft_in_force="in_force" in firewall if root else None,
        ufw="ufw" in firewall,
    )


def _sections(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(name, argument, lines) of each."""
    section: tuple[str, str, list[str]] | None = None
    for line in text.splitlines():
        found = re.fullmatch(r"@@([a-z_]+)(?: (.*))?", line)
        if found:
            if section:
                yield section
            section = (found[1], found[2] or "", [])
        elif section:
            section[2].append(line)
    if section:
        yield section


def _pairs(lines: list[str]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(" ")
        pairs.setdefault(name, []).append(value.strip())
    return pairs


def _first(pairs: Mapping[str, list[str]], name: str) -> str:
    return pairs.get(name, [""])[0]


def _whole(lines: list[str] | None) -> str:
    """A file's text as it was written: the script ends each with a newline of its own."""
    return "\n".join(lines) if lines else ""


def _published(lines: list[str]) -> Iterator[Published]:
    for line in lines:
        name, _, rest = line.partition("|")
        role, _, rest = rest.partition("|")
        project, _, ports = rest.partition("|")
        found = tuple(dict.fromkeys(OPEN.findall(ports)))
        if found:
            yield Published(name, role, project, found)
