"""Clean up after a deployer that died: read the journals of all hosts, finish what was committed, undo the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portside import steps
from portside.config import Config, Environment, NewsKind
from portside.errors import HostError, PortsideError, UnfinishedError
from portside.facts import State
from portside.fleet import everywhere
from portside.journal import Kind, Operation, Unfinished, unfinished
from portside.lock import Lease
from portside.markers import as_served, marks, site_targets
from portside.notices import Notices
from portside.operators import operator
from portside.orders import STOP_GRACE, UnfitError, orders, run_step
from portside.outcome import cause_of, way_back
from portside.release import Current
from portside.report import Reporter, timed
from portside.steps import Target
from portside.undoing import undo_all


@dataclass(frozen=True)
class Recovered:
    """What a dead deployer had left and what became of it, in words; "" when there was nothing.

    `undone` and `finished` say which of the two. `unfit` names hosts where the release is committed but can't serve
    alone: what served before stands behind it there, and answers. `kind` and `previous` are that operation's.
    """

    text: str = ""
    undone: bool = False
    unfit: tuple[str, ...] = ()
    kind: Kind = "deploy"
    previous: str | None = None

    def action(self, env: str) -> str:
        """The one thing to type next; "" when all is done."""
        if self.unfit:
            return way_back(env, self.kind, self.previous)
        return f"invoke deploy --env {env}" if self.undone else ""


async def recover(
    leases: Mapping[str, Lease],
    states: Mapping[str, State],
    site: str,
    *,
    config: Config,
    environment: Environment,
    reporter: Reporter,
    notices: Notices,
) -> Recovered:
    """Finish or undo what the journals show as begun and not ended.

    Whoever is told of releases is told of this one's end, which its deployer didn't live to see.

    Needs the lock of every host. Raises UnfinishedError when a host can't be put back.
    """
    found = left_behind(states)
    if found is None:
        return Recovered()
    operation = found.any
    what = f"a {operation.kind} of {operation.release} by {operation.owner}, left behind in {found.phase},"
    tell = _teller(notices, found, states)
    if found.committed:
        try:
            unfit = await _finish(
                found, leases, states, site, config=config, environment=environment, reporter=reporter
            )
        except PortsideError as error:
            tell("unfinished", f"it is committed, and {operator()} could not finish it: {cause_of(error)}")
            raise
        if unfit:
            serves = f"{operation.previous} stands behind it and answers"
            text = f"{what} is committed, but not fit to serve alone; {serves}"
            tell("unfinished", f"it is committed, but not fit to serve alone on {', '.join(unfit)}; {serves}")
            reasons = "".join(f"\n{error}" for error in unfit.values())
            return Recovered(text + reasons, unfit=tuple(unfit), kind=operation.kind, previous=operation.previous)
        tell("rolled-back" if operation.kind == "rollback" else "released", f"finished by {operator()}")
        return Recovered(f"{what} was finished: every host had committed or was ready to")
    targets = [
        Target(leases[host].host, site, leases[host].token, states[host], each)
        for host, each in found.operations.items()
    ]
    failures = await undo_all(targets, "its deployer died", reporter, note=reporter.say)
    if failures:
        tell("unfinished", f"{operator()} could not undo it on {', '.join(failures)}")
        raise UnfinishedError(
            f"{what} could not be undone on {', '.join(failures)}",
            why="\n".join(str(error) for error in failures.values()),
            remedy="Log in there and look at `docker ps -a`; then type the command again.",
        )
    moved = any(
        entry.phase == "switch" and entry.operation.id == operation.id
        for state in states.values()
        for entry in state.journal
    )
    tell("undone" if moved else "failed", f"undone by {operator()}")
    serves = f"{operation.previous} serves" if operation.previous else "nothing serves"
    return Recovered(f"{what} was undone; {serves}, as before it", undone=True)


def left_behind(states: Mapping[str, State]) -> Unfinished | None:
    """What the journals show as begun and not ended, and what each current.json says is committed."""
    committed = {state.current.operation for state in states.values() if state.current}
    return unfinished({host: state.journal for host, state in states.items()}, committed)


def abandoned(states: Mapping[str, State]) -> Unfinished | None:
    """What is unfinished, and nobody alive is at."""
    held = any(state.holder is not None and state.holder.expires > state.clock for state in states.values())
    return None if held else left_behind(states)


def _teller(notices: Notices, found: Unfinished, states: Mapping[str, State]) -> Callable[[NewsKind, str], None]:
    release = next((known for state in states.values() if (known := state.releases.get(found.any.release))), None)

    def tell(kind: NewsKind, reason: str) -> None:
        notices.send(
            kind,
            found.any,
            hosts=list(found.operations),
            commit=release.commit if release else "",
            reason=f"its deployer left it behind in {found.phase}; {reason}",
        )

    return tell


async def _finish(
    found: Unfinished,
    leases: Mapping[str, Lease],
    states: Mapping[str, State],
    site: str,
    *,
    config: Config,
    environment: Environment,
    reporter: Reporter,
) -> dict[str, UnfitError]:
    """Commit and retire wherever that is left to do; hosts where nothing may be retired yet, and why."""
    unfit: dict[str, UnfitError] = {}
    # As on the host that committed: it is one release, and one line on a dashboard.
    currents = [state.current for state in states.values() if state.current]
    committed = next(each.committed for each in currents if each.operation == found.any.id)

    async def act(host: str) -> None:
        operation, state, lease = found.operations[host], states[host], leases[host]
        release = state.releases.get(operation.release)
        if release is None:
            raise HostError(
                f"{operation.release} is committed elsewhere, and its directory isn't here any more",
                where=host,
                remedy="Release it there again, or another one to all hosts: invoke deploy --force",
            )
        target = Target(lease.host, site, lease.token, state, operation)
        served = as_served(config, environment, state)
        if _recorded(state, operation):
            # It said that the site is asked at an address which may not have come to this host's proxy any more.
            told = site_targets(release, config, served, host)
            if said := await run_step(target, steps.address(told)):
                reporter.say(f"{host}: {said}")
        else:
            current = Current(
                release=operation.release,
                slot=operation.slot,
                previous=operation.previous if operation.kind == "deploy" else release.previous,
                previous_slot=operation.previous_slot,
                operation=operation.id,
                committed=committed,
            )
            with timed(reporter, host, "commit"):
                made = marks(
                    release,
                    operation,
                    current,
                    host,
                    config=config,
                    environment=served,
                    tasks=state.web(release),
                )
                await run_step(target, steps.commit(operation, current, made))
        if unfit and operation.swarm:
            # One who is asked about all nodes has said so.
            return
        with timed(reporter, host, "retire"):
            retired = orders(operation).retire(
                target, release, keep_warm=environment.keep_warm, prune={}, grace=STOP_GRACE
            )
            try:
                await run_step(target, retired)
            except UnfitError as error:
                unfit[host] = error

    asked = [host for host, operation in found.operations.items() if operation.swarm == "acts"]
    await everywhere(asked, act)
    await everywhere([host for host in found.operations if host not in asked], act)
    return unfit


def _recorded(state: State, operation: Operation) -> bool:
    """Whether this host committed to the end: current.json alone leaves monitoring with the release before."""
    return any(
        entry.operation.id == operation.id and (entry.phase, entry.event) in (("commit", "end"), ("retire", "begin"))
        for entry in state.journal
    )
