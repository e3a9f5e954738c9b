"""A host that isn't there: what it answers to the engine's scripts, as a host in good health would, from memory.

Only what a deploy sends is known here (portside/steps.py makes it, portside/host/scripts/ do it on a real host). It
starts no container and waits for nothing. What it tells of itself has the format of portside/host/scripts/emit.sh.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from dataclasses import dataclass, field

from portside.journal import LAST_PHASES
from portside.release import Release

HELD, LOST, GATE, UNKNOWN = 71, 73, 75, 64
MACHINE = """@@machine
arch x86_64
cpus 2
memory_kb 4000000
engine 26.1.5+dfsg1
docker_root /var/lib/docker
compose 2.26.1-4
home_free_kb 20000000
docker_free_kb 20000000
"""


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int = 0
    out: str = ""
    err: str = ""


@dataclass(frozen=True)
class Running:
    """One container."""

    site: str
    slot: str
    release: str
    service: str
    number: int
    state: str = "running"

    @property
    def name(self) -> str:
        return f"{self.site}-{self.slot}-{self.service}-{self.number}"

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.name} {self.release}".encode()).hexdigest()


@dataclass
class Site:
    """What is in ~/.portside/sites/<name>, and the containers that carry its label."""

    token: int = 0
    holder: str = ""
    expires: int = 0
    undone: str = ""
    current: str = ""
    route: str = ""
    journal: list[str] = field(default_factory=list)
    releases: dict[str, str] = field(default_factory=dict)
    containers: list[Running] = field(default_factory=list)


class SimulatedHost:
    """One host. `unfit`: the gate of every start fails."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unfit = False
        self._sites: dict[str, Site] = {}
        self._proxy: tuple[str, str] | None = None

    def lease(self, site: str, ttl: str, full: str, holder: str) -> Said:
        """lease.sh up to where it begins to wait for heartbeats."""
        mine, now = self._site(site), int(time.time())
        if mine.holder and mine.expires > now:
            return Said(HELD, f"held {now} {mine.expires} {mine.holder}\n")
        mine.token += 1
        mine.expires = now + int(ttl)
        mine.holder = f'{{"since":{now},{holder.removeprefix("{")}'
        return Said(0, f"token {mine.token}\n{self._described(site, full)}@@end\n")

    def beat(self, site: str, ttl: str) -> None:
        self._site(site).expires = int(time.time()) + int(ttl)

    def release(self, site: str) -> None:
        self._site(site).holder = ""

    def run(self, script: str, site: str, arguments: list[str], stdin: bytes) -> Said:
        """One of the scripts, from its arguments to its end."""
        if script == "state":
            return Said(0, f"{self._described(site, arguments[0])}@@end\n")
        mine, token = self._site(site), arguments[0]
        if script in ("proxy", "proxy_config"):
            return self._configure(mine, token, arguments[1:], stdin)
        begin, end, *rest = arguments[1:]
        refused = self._refused(mine, token, begin)
        if refused:
            return refused
        self._record(mine, begin)
        act = {
            "prepare": self._prepare,
            "start": self._start,
            "switch": self._switch,
            "commit": self._commit,
            "retire": self._retire,
            "undo": self._undo,
        }.get(script)
        if act is None:
            return Said(UNKNOWN, err=f"{self.name} is simulated and doesn't know {script}.sh\n")
        said = act(site, mine, rest, stdin)
        if said.code == 0:
            self._record(mine, end)
        return said

    def upstreams(self) -> str:
        """What the proxy's admin API tells of requests under way: none."""
        addresses = [f"{each.name}:8000" for mine in self._sites.values() for each in mine.containers]
        return json.dumps([{"address": address, "num_requests": 0, "fails": 0} for address in addresses])

    def _site(self, name: str) -> Site:
        return self._sites.setdefault(name, Site())

    def _refused(self, mine: Site, token: str, begin: str) -> Said | None:
        """As `guard` in lib.sh."""
        if not mine.holder or token != str(mine.token):
            return Said(LOST, err="the release lock was lost to another deployer\n")
        if mine.undone and f'"{mine.undone}"' in begin and '"phase":"undo"' not in begin:
            return Said(LOST, err="this operation has been undone already\n")
        return None

    def _record(self, mine: Site, line: str) -> None:
        mine.journal.append(f'{{"at":{int(time.time())},{line.removeprefix("{")}')
        # A host that is asked for its last 400 lines sends no more, and this one needn't keep them.
        if len(mine.journal) > 500 and json.loads(line)["phase"] in LAST_PHASES:
            del mine.journal[:-400]

    def _configure(self, mine: Site, token: str, rest: list[str], stdin: bytes) -> Said:
        if token != str(mine.token):
            return Said(LOST, err="the release lock was lost to another deployer\n")
        if len(rest) == 3:  # proxy.sh: fingerprint, seconds, sha256 of the file
            with tarfile.open(fileobj=io.BytesIO(stdin)) as tar:
                member = tar.extractfile("config/caddy.json")
                self._proxy = (rest[0], member.read().decode() if member else "")
        elif self._proxy:
            self._proxy = (self._proxy[0], stdin.decode())
        return Said()

    def _prepare(self, _: str, mine: Site, rest: list[str], stdin: bytes) -> Said:
        with tarfile.open(fileobj=io.BytesIO(stdin)) as tar:
            member = tar.extractfile("release.json")
            mine.releases[rest[0]] = member.read().decode() if member else ""
        return Said()

    def _start(self, site: str, mine: Site, rest: list[str], _: bytes) -> Said:
        slot, release = rest[0], rest[1]
        record = Release.model_validate_json(mine.releases[release])
        mine.containers = [each for each in mine.containers if each.slot != slot] + [
            Running(site, slot, release, role.name, number)
            for role in record.roles
            if role.name in rest[6:]
            for number in range(1, role.replicas + 1)
        ]
        if self.unfit:
            return Said(
                GATE, err=f"--- last log lines of {site}-{slot}-web-1\nsimulated\ncontainer {slot} is unhealthy\n"
            )
        return Said()

    def _switch(self, _: str, mine: Site, rest: list[str], __: bytes) -> Said:
        mine.route = rest[0] if rest[0] != "-" else mine.route
        return Said()

    def _commit(self, _: str, mine: Site, rest: list[str], __: bytes) -> Said:
        mine.current = rest[0]
        return Said()

    def _retire(self, _: str, mine: Site, rest: list[str], __: bytes) -> Said:
        # The slot, release, port and readiness path of what is to serve alone are for asking it.
        route, stopped, _slot, _release, _port, _path, *pruned = rest
        mine.route = route if route != "-" else mine.route
        gone = {each.partition("=")[0] for each in pruned}
        mine.releases = {release: text for release, text in mine.releases.items() if release not in gone}
        mine.containers = [
            Running(each.site, each.slot, each.release, each.service, each.number, "exited")
            if each.id in stopped.split()
            else each
            for each in mine.containers
            if each.release not in gone
        ]
        return Said()

    def _undo(self, _: str, mine: Site, rest: list[str], __: bytes) -> Said:
        route, _old_slot, _old, slot, release, treatment, operation = rest[:7]
        mine.undone = operation
        mine.route = {"-": mine.route, "none": ""}.get(route, route)
        if treatment == "remove":
            mine.containers = [each for each in mine.containers if (each.slot, each.release) != (slot, release)]
            mine.releases.pop(release, None)
        return Said()

    def _described(self, site: str, full: str) -> str:
        mine = self._site(site)
        lock = f"{mine.expires} {mine.holder}" if mine.holder else ""
        containers = "".join(
            f"{each.id} {site}-{each.slot} {each.release} {each.service} {each.state} {each.name} Up 2 minutes\n"
            for each in mine.containers
        )
        proxy = f"running {self._proxy[0]} caddy:simulated\n" if self._proxy else ""
        sections = {
            "time": f"{time.time():.6f}",
            "base": "/home/deploy/.portside",
            "current": mine.current,
            "route": mine.route,
            "maintenance": "",
            "proxy_config": self._proxy[1].rstrip("\n") if self._proxy else "",
            "lock": lock,
            "journal": "\n".join(mine.journal[-400:]),
            "releases": "".join(mine.releases.values()),
            "containers": containers,
            "proxy": proxy,
            "agent": "",
            "accessories": "",
        }
        text = "".join(f"@@{name}\n{body}\n" for name, body in sections.items())
        if full != "0":
            text += MACHINE
        if full not in ("0", "1"):
            # It has every image that is asked for: what an image's way to a host takes is measured elsewhere.
            digests = json.dumps([full])
            text += f"@@images\nsha256:{hashlib.sha256(full.encode()).hexdigest()} [] {digests} []\n"
        return text
