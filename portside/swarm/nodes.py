"""The nodes of an environment as their Swarm sees them: parsed, judged, one of them chosen to act. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portside.errors import HostError, PreflightError

PAGE = "docs/scaling.md"


@dataclass(frozen=True)
class Member:
    """A node as a manager lists it."""

    id: str
    ready: bool
    active: bool
    name: str


@dataclass(frozen=True)
class Node:
    """A host as a node. `members` is empty where it may not ask: on a worker, and on a manager without a quorum."""

    state: str
    manages: bool
    live_restore: bool
    id: str
    members: tuple[Member, ...]
    said: str = ""


def parse_node(text: str, host: str) -> Node:
    """Parse what swarm_nodes.sh printed. Raises HostError when it makes no sense."""
    head, _, listed = text.partition("@@nodes\n")
    words = head.removeprefix("@@node\n").split()
    if len(words) < 3 or words[1] not in ("true", "false"):
        raise HostError("the Docker Engine doesn't say what it is in a Swarm", where=host, why=text[-500:].strip())
    state, manages, live_restore, *identity = words
    members, said = [], []
    for line in listed.splitlines():
        fields = line.split(" ", 3)
        if len(fields) == 4 and fields[1] in ("Ready", "Down", "Unknown", "Disconnected"):
            members.append(Member(fields[0], fields[1] == "Ready", fields[2] == "Active", fields[3]))
        else:
            said.append(line)
    # A worker's answer is that it may not say.
    manager = manages == "true"
    complaint = "\n".join(said).strip() if manager else ""
    return Node(state, manager, live_restore == "true", "".join(identity), tuple(members), complaint)


def problems(nodes: Mapping[str, Node]) -> list[str]:
    """What keeps these hosts (host name to node) from being released to as one Swarm, all of it."""
    found = []
    for host, node in nodes.items():
        if node.state != "active":
            found.append(f"{host}: it is no node of a Swarm ({node.state}): docker swarm join")
        if node.live_restore:
            found.append(f"{host}: live-restore is on, which no node of a Swarm may have: /etc/docker/daemon.json")
    if found:
        return found
    managers = {host: node for host, node in nodes.items() if node.manages}
    if not managers:
        return ["none of these hosts is a manager: name one, or type on a manager: docker node promote"]
    asked = [node for node in managers.values() if node.members]
    if not asked:
        return [f"{host}: it manages a Swarm that has lost its quorum: {node.said}" for host, node in managers.items()]
    members = {member.id: member for node in asked for member in node.members}
    first = {member.id for member in asked[0].members}
    for host, node in nodes.items():
        if node.id not in first:
            found.append(f"{host}: it is a node of another Swarm than {next(iter(managers))}")
        elif not members[node.id].ready:
            found.append(f"{host}: the Swarm has lost it, though it answers here: docker node ls")
    return found


def check_nodes(nodes: Mapping[str, Node], env: str) -> None:
    """Raise PreflightError with every problem at once."""
    found = problems(nodes)
    if found:
        raise PreflightError(
            f"{len(found)} problem{'s' if len(found) > 1 else ''} with the Swarm, found before anything was changed",
            where=env,
            why="\n".join(found),
            remedy=f"How a Swarm is set up: {PAGE}",
        )


def acting(nodes: Mapping[str, Node]) -> str:
    """The host that does what only one may do: the first manager that has a quorum."""
    return next(host for host, node in nodes.items() if node.manages and node.members)


def elsewhere(nodes: Mapping[str, Node]) -> list[str]:
    """Members that can be given containers, and are none of the environment's hosts."""
    known = {node.id for node in nodes.values()}
    members = {member.id: member for node in nodes.values() for member in node.members}
    return sorted(each.name for each in members.values() if each.id not in known and each.ready and each.active)
