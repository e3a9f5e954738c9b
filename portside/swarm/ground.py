"""Before a release to a Swarm: look at its nodes, choose who acts, bring up to date who was away, make the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from portside import steps
from portside.facts import State
from portside.fleet import everywhere, read_states
from portside.host.base import Host
from portside.host.script import script_argv
from portside.journal import Operation
from portside.orders import run_step
from portside.report import timed
from portside.site import Site
from portside.steps import GRACE
from portside.swarm.nodes import Node, acting, check_nodes, elsewhere, parse_node
from portside.swarm.steps import operation_in_swarm

LOOK_SECONDS = 45


@dataclass(frozen=True)
class Ground:
    """A site of a Swarm, every host of which can be released to. `acts` is one of the hosts' names."""

    site: Site
    acts: str

    def ordered(self, names: Sequence[str]) -> list[str]:
        """Who acts comes first."""
        return [self.acts, *(name for name in names if name != self.acts)]

    def operations(self, made: Mapping[str, Operation]) -> dict[str, Operation]:
        """The hosts' operations as nodes' ones."""
        states = self.site.states
        return {
            name: operation_in_swarm(
                operation, states[name].releases.get(operation.previous or ""), acts=name == self.acts
            )
            for name, operation in made.items()
        }


async def gathered(site: Site) -> Ground:
    """Look at the nodes, and bring those that were away up to date. Raises PreflightError naming every problem."""
    nodes = await look(site.hosts, site.name)
    check_nodes(nodes, site.environment.name)
    others = elsewhere(nodes)
    if others:
        site.reporter.say(
            f"The Swarm has nodes that are no hosts of {site.environment.name}: {', '.join(others)}. They get "
            "containers, but no proxy, and the judge doesn't see them."
        )
    await _follow(site)
    await _follow_maintenance(site)
    leading = _leading(site.states)
    candidates = {name: node for name, node in nodes.items() if leading is None or _same(site.states[name], leading)}
    return Ground(site, acting(candidates if any(node.members for node in candidates.values()) else nodes))


async def look(hosts: Sequence[Host], site: str) -> dict[str, Node]:
    """What each host is in its Swarm. Reads only."""

    async def one(host: Host) -> Node:
        told = await host.run(script_argv("swarm_nodes", site), timeout=LOOK_SECONDS)
        return parse_node(told.check("what the host is in a Swarm can't be read").text, host.name)

    return dict(zip((host.name for host in hosts), await everywhere(hosts, one), strict=True))


async def _follow(site: Site) -> None:
    """A node that was away while the others released has what was current then."""
    leading = _leading(site.states)
    if leading is None or leading.current is None:
        return
    behind = [name for name, state in site.states.items() if not _same(state, leading)]
    if not behind:
        return
    leader = next(host for host in site.hosts if site.states[host.name] is leading)
    folder = f"{leading.base}/sites/{site.name}/releases"
    packed = await leader.run(["tar", "-C", folder, "-c", "."], timeout=60)
    tar = packed.check("the releases of the other nodes can't be read").stdout
    current = leading.current

    async def one(name: str) -> None:
        lease = site.leases[name]
        argv = script_argv("swarm_follow", site.name, lease.token, current.model_dump_json(), _route(leading))
        with timed(site.reporter, name, "follow"):
            done = await lease.host.run(argv, stdin=tar, timeout=60 + GRACE)
            done.check("the node could not be brought up to date")

    await everywhere(behind, one)
    site.reporter.say(f"Brought up to date, to {current.release}: {', '.join(behind)}.")
    site.states.update(await read_states([site.leases[name].host for name in behind], site.name, full=True))


async def _follow_maintenance(site: Site) -> None:
    """A node that was away shows the maintenance page if the others do; a node of its own (`--host`) is left alone."""
    last = {name: _last_maintenance(state) for name, state in site.states.items()}
    whole = [(each.id, name, each) for name, each in last.items() if each and each.swarm]
    if not whole:
        return
    identity, leader, operation = max(whole, key=lambda found: found[:2])
    on = site.states[leader].maintenance
    behind = [
        name
        for name, state in site.states.items()
        if state.maintenance != on and ((mine := last[name]) is None or mine.id < identity)
    ]

    async def one(name: str) -> None:
        await run_step(site.target(name, operation), steps.maintenance(on))

    await everywhere(behind, one)
    for name in behind:
        site.states[name] = replace(site.states[name], maintenance=on)
    if behind:
        site.reporter.say(f"The maintenance page is {'shown' if on else 'gone'} there, too: {', '.join(behind)}.")


def _last_maintenance(state: State) -> Operation | None:
    ended = (each.operation for each in reversed(state.journal) if (each.phase, each.event) == ("maintenance", "end"))
    return next(ended, None)


def _leading(states: Mapping[str, State]) -> State | None:
    """The state of the host that committed last; of several, of one whose route leads there: a host's own may be lost,
    or have been put back by hand."""
    known = [
        ((current.committed, state.serving == current.slot), state)
        for state in states.values()
        if (current := state.current)
    ]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def _route(leading: State) -> str:
    """Where traffic goes on every node. What is committed is what serves, whatever became of each host's own route."""
    if leading.current is None or leading.serving == leading.current.slot:
        return leading.route
    return leading.current.slot


def _same(state: State, leading: State) -> bool:
    """Whether a host has what the leading one committed; its route may have been put back by hand or by an old undo."""
    if state.current is None or leading.current is None:
        return state.current is leading.current
    return (state.current.operation, state.route) == (leading.current.operation, _route(leading))
