"""What a host says of itself, parsed from the sections that portside/host/scripts/emit.sh prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portside.errors import HostError
from portside.journal import Entry, parse_journal
from portside.release import Current, Release, Slot

# What parsing a text that makes no sense may raise. A ValidationError is a ValueError; the last is of endless nesting.
NONSENSE = (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)
# How long a host may take to describe itself, in seconds; `docker info` on a loaded machine is the slow part.
STATE_DEADLINE = 60
# What to type where a host that is there doesn't say how it is.
DOCTOR = "What is wrong there is said by `invoke doctor`, with the same --env."


@dataclass(frozen=True)
class Container:
    id: str
    slot: str
    release: str
    service: str
    state: str
    name: str
    status: str

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True)
class Holder:
    """Who holds a release lock. Times are seconds since the epoch, by the host's clock."""

    owner: str
    operation: str
    since: int
    expires: int
    message: str = ""

    def __str__(self) -> str:
        return f"{self.owner}: {self.operation}{f' – {self.message}' if self.message else ''}"


@dataclass(frozen=True)
class Proxy:
    running: bool
    fingerprint: str
    image: str


@dataclass(frozen=True)
class Agent:
    """What watches the host. `running`: all of its containers are. `credentials`: a fingerprint of those it has."""

    running: bool
    fingerprint: str
    services: tuple[str, ...]
    credentials: str


@dataclass(frozen=True)
class HostImage:
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """What a preflight judges. Sizes are in MiB; `engine` and `compose` are versions, or an error's text."""

    arch: str
    cpus: int
    memory_mb: int
    home_free_mb: int
    docker_free_mb: int
    engine: str
    compose: str


@dataclass(frozen=True)
class State:
    """A site on one host, as it is on disk and in the Engine. `told` is what monitoring asks for it, as JSON, or ""."""

    clock: float
    base: str
    current: Current | None
    route: str
    maintenance: bool
    proxy_config: str
    holder: Holder | None
    journal: tuple[Entry, ...]
    releases: dict[str, Release]
    containers: tuple[Container, ...]
    proxy: Proxy | None
    accessories_fingerprint: str
    accessories: dict[str, str]
    machine: Machine | None = None
    images: tuple[HostImage, ...] = field(default=())
    agent: Agent | None = None
    proxy_compose: str = ""
    told: str = ""

    @property
    def serving(self) -> Slot | None:
        """The slot that the proxy sends traffic to; of two, the one that isn't on trial."""
        slot = self.route.partition(">")[0].partition("+")[0]
        return slot if slot in ("blue", "green") else None  # type: ignore[return-value]

    @property
    def serves(self) -> str | None:
        """The release that has the traffic: on record, or where that was lost, by its route and what runs there."""
        running = (each.release for each in self.containers if each.running and each.slot == self.serving)
        return self.current.release if self.current else next(running, None)

    @property
    def has_proxy(self) -> bool:
        return self.proxy is not None and self.proxy.running

    def web(self, release: Release) -> list[str]:
        """The names of a release's running web containers here."""
        mine = (each for each in self.containers if (each.release, each.service) == (release.id, release.web))
        return sorted(each.name for each in mine if each.running)

    def image(self, reference: str) -> HostImage | None:
        """The image that this host knows by `reference`: a tag, or name@digest."""
        for image in self.images:
            if reference in image.tags or reference in image.digests:
                return image
        return None


def asked(full: bool | str) -> str:
    """The argument of lease.sh and state.sh: no facts, those of a preflight, or those and an image's by its name."""
    return full if isinstance(full, str) else "1" if full else "0"


def parse_state(text: str, host: str) -> State:
    """Parse what state.sh or lease.sh printed. Raises HostError when it makes no sense."""
    try:
        return _parse(dict(_sections(text)))
    except NONSENSE as error:
        raise HostError(
            "what the host says of itself can't be understood",
            where=host,
            why=f"{type(error).__name__}: {error}"[:500],
            remedy=f"Look at ~/.portside there. {DOCTOR}",
        ) from None


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    # Not splitlines: JSON leaves U+2028 and its like as they are, and a reason may have one.
    for line in text.split("\n"):
        if line.startswith("@@"):
            if name:
                yield name, lines
            name, lines = line[2:], []
        elif line.strip():
            lines.append(line)
    yield name, lines


def _parse(sections: dict[str, list[str]]) -> State:
    return State(
        clock=float(sections["time"][0]),
        base=sections["base"][0],
        current=Current.model_validate_json(sections["current"][0]) if sections["current"] else None,
        route=sections["route"][0] if sections["route"] else "",
        maintenance=sections["maintenance"] == ["on"],
        proxy_config="\n".join(sections["proxy_config"]),
        holder=_holder(sections["lock"]),
        journal=parse_journal(sections["journal"]),
        releases={release.id: release for release in map(Release.model_validate_json, sections["releases"])},
        containers=tuple(map(_container, sections["containers"])),
        proxy=_proxy(sections["proxy"]),
        accessories_fingerprint=sections["accessories"][0] if _has_fingerprint(sections["accessories"]) else "",
        accessories={
            name: state for name, _, state in (line.partition(" ") for line in sections["accessories"]) if state
        },
        machine=_machine(sections["machine"]) if "machine" in sections else None,
        images=tuple(map(_image, sections.get("images", []))),
        agent=_agent(sections["agent"]),
        proxy_compose="\n".join(sections.get("proxy_compose", [])),
        told="\n".join(sections.get("told", [])),
    )


def _has_fingerprint(lines: list[str]) -> bool:
    return bool(lines) and " " not in lines[0]


def _holder(lines: list[str]) -> Holder | None:
    if not lines:
        return None
    expires, _, holder = lines[0].partition(" ")
    return parse_holder(int(expires), holder)


def parse_holder(expires: int, text: str) -> Holder:
    """Raises one of NONSENSE when it makes none."""
    data = json.loads(text)
    return Holder(
        owner=str(data["owner"]),
        operation=str(data["operation"]),
        since=moment(int(data["since"])),
        expires=expires,
        message=str(data.get("message", "")),
    )


def moment(seconds: int) -> int:
    """`seconds` since the epoch, if that is a time that a clock can show; ValueError otherwise."""
    datetime.fromtimestamp(seconds, UTC)
    return seconds


def _container(line: str) -> Container:
    identity, project, release, service, state, name, status = line.split(" ", 6)
    return Container(identity, project.rpartition("-")[2], release, service, state, name, status)


def _proxy(lines: list[str]) -> Proxy | None:
    if not lines:
        return None
    state, fingerprint, image = lines[0].split(" ", 2)
    return Proxy(state == "running", fingerprint, image)


def _agent(lines: list[str]) -> Agent | None:
    if not lines:
        return None
    states, fingerprints, credentials, services = zip(*(line.split(" ", 3) for line in lines), strict=True)
    running = set(states) == {"running"} and len(set(fingerprints)) == 1
    return Agent(running, fingerprints[0], tuple(sorted(services)), credentials[0])


def _image(line: str) -> HostImage:
    identity, tags, digests, layers = line.split(" ", 3)
    return HostImage(
        identity,
        tuple(json.loads(tags) or ()),
        tuple(json.loads(digests) or ()),
        tuple(json.loads(layers) or ()),
    )


def _machine(lines: list[str]) -> Machine:
    found = dict(line.split(" ", 1) for line in lines if " " in line)
    return Machine(
        arch=found.get("arch", "unknown"),
        cpus=int(found.get("cpus", 0)),
        memory_mb=int(found.get("memory_kb", 0)) // 1024,
        home_free_mb=int(found.get("home_free_kb", 0)) // 1024,
        docker_free_mb=int(found.get("docker_free_kb", found.get("home_free_kb", 0))) // 1024,
        engine=found.get("engine", "\n".join(lines)),
        compose=found.get("compose", ""),
    )
