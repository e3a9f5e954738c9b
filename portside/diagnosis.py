"""What is wrong with an environment, judged from what its hosts say. Pure: values in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from portside.errors import ConfigError, PortsideError
from portside.facts import Container, State, parse_holder
from portside.journal import Entry
from portside.proxy import parsed
from portside.recovery import left_behind
from portside.release import Current, Release

# What the proxy of a host starts with, from its base folder.
PROXY_CONFIG = "proxy/config/caddy.json"
DAMAGED = "is damaged"
# What is found where a host's state can't be read because of it.
STATE_DAMAGED = tuple(f"{name} {DAMAGED}" for name in ("current.json", "release.json", "holder.json"))


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, what, why it is thought so, and what mends it."""

    where: str
    what: str
    remedy: str
    why: str = ""

    @classmethod
    def of(cls, error: PortsideError, where: str = "") -> Finding:
        return cls(error.where or where, error.what, error.remedy or "Correct it there.", error.why)


def busy(state: State) -> bool:
    """Somebody alive holds the release lock: what looks half done is being done."""
    return state.holder is not None and state.holder.expires > state.clock


def site_findings(
    host: str,
    state: State,
    env: str,
    *,
    keep_warm: bool,
    swarm: bool = False,
    accessories: Sequence[str] = (),
    unfinished: bool = False,
) -> list[Finding]:
    """What is wrong at one host where nobody is at work. Of a Swarm's node nobody knows what it should run.

    `accessories`: those that are to run here, once they have been started. `unfinished`: an operation is, so that its
    containers, slots and record are what its end is yet to put right.
    """
    released = [
        *_current(host, state, env),
        *(() if swarm else _containers(host, state, env)),
        *_leftovers(host, state, env, keep_warm=keep_warm, swarm=swarm),
    ]
    return [
        *_lock(host, state, env),
        *(() if unfinished else released),
        *_accessories(host, state, env, accessories),
    ]


def fleet_findings(states: Mapping[str, State], env: str) -> list[Finding]:
    """What only shows when the hosts are seen side by side."""
    found = []
    left = left_behind(states)
    if left is not None:
        operation = left.any
        found.append(
            Finding(
                ", ".join(left.operations),
                f"a {operation.kind} of {operation.release} by {operation.owner} is unfinished, left in {left.phase}",
                f"Any command {'finishes' if left.committed else 'undoes'} it: invoke status --env {env}",
            )
        )
    # Where it is, the rest follows from it.
    settled = {host: state for host, state in states.items() if left is None or host not in left.operations}
    currents = {host: state.current.release for host, state in settled.items() if state.current}
    if len(set(currents.values())) > 1:
        found.append(
            Finding(
                env,
                "not all hosts have the same release",
                f"invoke deploy --env {env} brings all to one",
                "\n".join(f"{host}: {release}" for host, release in currents.items()),
            )
        )
    bare = [host for host, state in settled.items() if not state.current and not state.serving]
    if currents and bare:
        found.append(Finding(", ".join(bare), "nothing is released here", f"invoke deploy --env {env}"))
    return found


def _lock(host: str, state: State, env: str) -> Iterator[Finding]:
    if state.holder is not None and not busy(state):
        yield Finding(
            host,
            f"a lock that has run out lies about: {state.holder.owner}, {state.holder.operation}",
            f"The next command takes it over. To be rid of it now: invoke unlock --env {env}",
        )


def _current(host: str, state: State, env: str) -> Iterator[Finding]:
    current = state.current
    if current is None:
        if state.serving:
            yield Finding(
                host,
                f"what serves isn't on record: {state.base}/sites/…/current.json is gone",
                f"invoke deploy --env {env}",
                _listed(each for each in state.containers if each.running and _serves(state, each)),
            )
        return
    if current.release not in state.releases:
        yield Finding(
            host,
            f"the files of the current release {current.release} are gone",
            f"invoke deploy --env {env}. Where another host has them, invoke restart --env {env} brings its image here",
            f"{state.base}/sites/…/releases/{current.release} should hold release.json, compose.yaml and env.",
        )
    if state.serving != current.slot:
        yield Finding(
            host,
            f"the proxy sends traffic to {state.serving or 'no slot'}; {current.release} runs in {current.slot}",
            f"invoke restart --env {env}",
        )
    if state.maintenance:
        yield Finding(
            host, "the maintenance page is shown", f"invoke maintenance --off --env {env}, when the work is done"
        )


def _containers(host: str, state: State, env: str) -> Iterator[Finding]:
    current = state.current
    release = state.releases.get(current.release) if current else None
    if current is None or release is None:
        return
    mine = [each for each in state.containers if each.release == release.id and each.slot == current.slot]
    running = Counter(each.service for each in mine if each.running)
    for role in release.roles:
        if running[role.name] < role.replicas:
            yield Finding(
                host,
                f"{running[role.name]} of {role.replicas} {role.name} containers of the current release run",
                f"See why: invoke logs --env {env} --service {role.name}. Start them again: invoke restart --env {env}",
                _listed(each for each in mine if each.service == role.name and not each.running),
            )
    unhealthy = [each for each in mine if each.running and "(unhealthy)" in each.status]
    if unhealthy:
        yield Finding(
            host,
            f"{len(unhealthy)} container{'s are' if len(unhealthy) > 1 else ' is'} unhealthy",
            f"invoke logs --env {env}",
            _listed(unhealthy),
        )


def _leftovers(host: str, state: State, env: str, *, keep_warm: bool, swarm: bool) -> Iterator[Finding]:
    # A Swarm keeps what is left of its last few tasks, and removes it by itself.
    left = [each for each in state.containers if each.running or not swarm]
    # A node that was away when it was released to doesn't know what the Swarm has it run; the next deploy tells it.
    unknown = [each for each in left if each.release not in state.releases and not _serves(state, each)]
    if unknown and not swarm:
        yield Finding(
            host,
            "containers of a release that this host knows nothing of",
            f"If nobody needs them: docker rm -f {' '.join(each.name for each in unknown)}",
            _listed(unknown),
        )
    current = state.current
    beside = [
        each
        for each in state.containers
        if each.running
        and each.release in state.releases
        and current is not None
        and not _serves(state, each)
        and not (keep_warm and each.release == current.previous)
    ]
    if beside:
        yield Finding(
            host,
            "containers of another release than the current one run",
            # What a Swarm finds stopped it starts again.
            f"docker service scale {' '.join(f'{name}=0' for name in _services(beside))}, on a manager"
            if swarm
            else f"docker stop {' '.join(each.name for each in beside)}",
            _listed(beside),
        )


def _serves(state: State, container: Container) -> bool:
    """Whether it is of what is released here; where that isn't on record, whether its slot has the traffic."""
    current = state.current
    if current is None:
        return container.slot == state.serving
    return (container.release, container.slot) == (current.release, current.slot)


def _services(containers: Iterable[Container]) -> list[str]:
    """Of a Swarm, by the names of their tasks: <service>.<number>.<id>."""
    return sorted({each.name.split(".")[0] for each in containers})


def _accessories(host: str, state: State, env: str, wanted: Sequence[str]) -> Iterator[Finding]:
    gone = {name: "gone" for name in wanted if state.accessories_fingerprint}
    for name, what in (gone | state.accessories).items():
        if what != "running":
            yield Finding(host, f"the accessory {name} is {what}", f"invoke accessories --env {env}")


def _listed(containers: Iterable[Container]) -> str:
    return "\n".join(f"{each.name} ({each.release}): {each.status}" for each in containers)


def file_findings(host: str, text: str, env: str) -> list[Finding]:
    """What is wrong with the files that portside/host/scripts/examine.sh printed."""
    found: list[Finding] = []
    for kind, path, content in _files(text):
        if kind == "incomplete":
            found.append(Finding(host, f"{path} is no release: release.json is missing", f"rm -r {path}"))
        elif kind == "readable":
            found.append(Finding(host, f"{path} holds secrets, and others can read it", f"chmod 600 {path}"))
        else:
            found.extend(_file(host, path, content, env))
    return found


def _files(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, path, lines) of each part."""
    part: tuple[str, str, list[str]] | None = None
    # JSON leaves other ends of lines that Unicode knows as they are.
    for line in text.split("\n"):
        if line.startswith("@@"):
            if part:
                yield part
            kind, _, path = line[2:].partition(" ")
            part = (kind, path, [])
        elif part and line.strip():
            part[2].append(line)
    if part:
        yield part


def _file(host: str, path: str, lines: list[str], env: str) -> Iterator[Finding]:
    name = path.rpartition("/")[2]
    if name == "journal.jsonl":
        bad = [number for number, line in enumerate(lines, 1) if _problem(Entry.model_validate_json, line)]
        if bad:
            yield Finding(
                host,
                f"{path}: line{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad))} can't be read",
                "A power cut leaves half a line. It is passed over; remove it to silence this.",
            )
        return
    readers: dict[str, tuple[Callable[[str], object], str]] = {
        "current.json": (Current.model_validate_json, f"Remove the file, then: invoke deploy --env {env}"),
        "release.json": (Release.model_validate_json, f"Remove its folder: rm -r {path.rpartition('/')[0]}"),
        "holder.json": (lambda text: parse_holder(0, text), f"invoke unlock --env {env}"),
        "caddy.json": (_proxy_config, f"Remove the file, then: {proxy_remedy(env)}"),
    }
    read, remedy = readers[name]
    problem = _problem(read, "\n".join(lines))
    if problem:
        yield Finding(host, f"{path} {DAMAGED}", remedy, problem)


def _proxy_config(text: str) -> object:
    if not text.strip():
        raise ValueError("it is empty")
    return parsed(text)


def proxy_remedy(env: str) -> str:
    """What writes the proxy's configuration again, once there is none."""
    return f"invoke host-bootstrap --env {env}, and the same for each other environment that this host has"


def _problem(read: Callable[[str], object], text: str) -> str:
    try:
        read(text)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
    except ConfigError as error:
        return error.why
    except (ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
