"""The release protocol: all hosts through the same phases, all or nothing.

The table in docs/architecture.md is this module; `Rollout.run` has its phases in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.errors import HostError, PortsideError, ReleaseError, UnfinishedError
from portside.facts import State
from portside.fleet import everywhere, settle
from portside.host.base import Host
from portside.journal import Operation, Phase
from portside.markers import Marks, as_served, marks
from portside.orders import STOP_GRACE, orders, run_step
from portside.outcome import Outcome, cause_of
from portside.plan import differs_in_image_only
from portside.proxy import upstreams
from portside.proxy_admin import ADMIN_SOCKET, Admin
from portside.release import Current, Release, Slot, archive
from portside.report import Reporter, timed
from portside.silence import Silence
from portside.steps import Step, Target
from portside.undoing import by_host, undo_all

if TYPE_CHECKING:
    from portside.judge.watching import Watching


class Rollout:
    """One deploy or rollback. Made with targets that already hold the lock."""

    def __init__(
        self,
        config: Config,
        environment: Environment,
        release: Release,
        targets: Sequence[Target],
        reporter: Reporter,
        *,
        files: Mapping[str, str] | None,
        delivery: Delivery,
        silence: Silence | None = None,
        committed: Callable[[], None] | None = None,
        move: Callable[[], Awaitable[None]] | None = None,
        holder: tuple[Host, State] | None = None,
        only: str | None = None,
    ) -> None:
        """`move` has the committed release asked at another address, where it has one; `holder`: of a release without
        `files`, any host that has it; `only`: the host that it was limited to.
        """
        self._config = config
        self._environment = environment
        self._release = release
        self._targets = targets
        self._reporter = reporter
        self._files = files
        self._delivery = delivery
        self._silence = silence
        self._committed = committed
        self._moving = move
        self._holder = holder
        self._only = only
        self._drains: dict[str, asyncio.Task[int]] = {}
        self._steps = orders(targets[0].operation)
        previous = next((target.operation.previous for target in targets if target.operation.previous), None)
        self.outcome = Outcome(release.id, previous, "failed", kind=targets[0].operation.kind)
        self._judge: Watching | None = None
        if config.judge.enabled and environment.bake:
            # Imported here: a release that isn't judged has its milliseconds for other things.
            from portside.judge.watching import Watching  # noqa: PLC0415

            stages = 1 + len(self._shares)
            self._judge = Watching(config, environment, release, targets, self._note, stages=stages)

    async def run(self) -> Outcome:
        """Go through all phases. An address that could not be moved is the outcome's `unmoved`; the release stands.

        Raises ReleaseError when the release was undone, UnfinishedError when that, or the commit, failed somewhere.
        """
        try:
            if self._judge:
                self._judge.begin()
            await self._prepare()
            await self._before_switch()
            await self._start()  # the barrier: all hosts are ready, or nothing is switched
            self._begin_silence()
            for share in self._shares:
                await self._switch(share)
                await self._bake(share)
            await self._switch()
            await self._bake()
            if self._judge:
                # Takes a while on a busy host: who interrupts it does so before the commit.
                await self._judge.end()
        except (PortsideError, asyncio.CancelledError, KeyboardInterrupt) as error:
            self.outcome.reason = cause_of(error)
            await self._undo(error)
            raise self._failed(error) from None
        finally:
            if self._judge:
                await self._judge.end()
        async with self._draining():
            await self._commit()  # the commit point: from here on a crash is finished, not undone
            if self._committed:
                self._committed()
            await self._move()
            await self._retire()
        return self.outcome

    async def _prepare(self) -> None:
        async def act(target: Target) -> None:
            if target.operation.warm:
                return
            await self._delivery.provide(target, self._release.image)
            if self._files is None and self._release.id in target.state.releases:
                return
            tar = archive(self._files) if self._files is not None else await self._read_elsewhere()
            known = target.state.releases.get(target.operation.previous or "")
            proven = known is not None and differs_in_image_only(known, self._release)
            await run_step(target, self._steps.prepare(self._release, tar, proven=proven))

        await self._phase("prepare", act, at_once=self._environment.max_parallel)

    async def _before_switch(self) -> None:
        command = self._config.service.before_switch
        if not command or self._files is None:
            return
        step = self._steps.before_switch(self._release, command, self._config.service.before_switch_deadline)
        await self._phase("before-switch", lambda target: run_step(target, step), self._once)

    @property
    def _once(self) -> Sequence[Target]:
        """Once for each database: where several hosts run accessories, each has one of its own."""
        configured = self._environment.accessory_hosts or ()
        databases = [target for target in self._targets if target.host.name in configured]
        return databases or self._targets[:1]

    async def _start(self) -> None:
        cold = [target for target in self._targets if not target.operation.warm]
        deadline = self._environment.start_deadline

        async def act(target: Target) -> None:
            await run_step(target, self._steps.start(target, self._release, deadline))

        await self._phase("start", act, cold, at_once=self._environment.max_parallel)

    def _begin_silence(self) -> None:
        if self._silence:
            self._silence.begin(self._release.id, self._targets[0].operation.owner)

    @property
    def _shares(self) -> tuple[float, ...]:
        """A canary's steps in per cent. A rollback has none: it is in a hurry, and the proxy may not know them."""
        deploys = self._targets[0].operation.kind == "deploy" and self.outcome.previous is not None
        return self._environment.canary if deploys else ()

    async def _switch(self, share: float | None = None) -> None:
        """All traffic, or `share` per cent where there is a release to share it with."""
        deadline = self._environment.start_deadline

        def step(operation: Operation) -> Step:
            if share is not None and operation.previous_slot:
                return self._steps.canary(operation, self._release, share, deadline)
            return self._steps.switch(operation, self._release, deadline)

        await self._phase("switch", lambda target: run_step(target, step(target.operation)))

    async def _bake(self, share: float | None = None) -> None:
        """Each host watches its containers, the judge what they count; whoever finds something first ends it."""
        seconds, judge = self._environment.bake, self._judge
        if not seconds:
            return

        async def watch(target: Target) -> None:
            stdin = judge.enough() if judge else None
            await run_step(target, self._steps.bake(target.operation, self._release, seconds, stdin))

        both: list[Awaitable[None]] = [self._phase("bake", watch)]
        if judge:
            judge.stage(share)
            both.append(judge.judged(seconds))
        await everywhere(both, asyncio.ensure_future)

    async def _commit(self) -> None:
        committed = datetime.now(UTC)
        self.outcome.outcome = "unfinished"
        if self._moving:
            # True of whatever ends this before the move has.
            self.outcome.unmoved = UnfinishedError(f"{self._release.id} may still be asked at its old address")

        async def act(target: Target) -> None:
            operation = target.operation
            current = Current(
                release=self._release.id,
                slot=operation.slot,
                previous=operation.previous if operation.kind == "deploy" else self._release.previous,
                previous_slot=operation.previous_slot,
                operation=operation.id,
                committed=committed,
            )
            told = self._marks(target, current)
            said = await run_step(target, self._steps.commit(operation, current, told))
            # One is enough: whatever becomes of the others, they are finished (portside/journal.py).
            self.outcome.outcome = "released"
            if said:
                self._note(f"{target.host.name}: {said}")

        failures = self._beyond_repair("commit", await self._settled("commit", act))
        address_left = self.outcome.address_left(self._environment.name)
        if failures and self.outcome.outcome == "unfinished":
            raise UnfinishedError(
                f"nobody knows whether release {self._release.id} is committed: no host said so",
                where=self._environment.name,
                why="\n".join(map(str, failures.values())),
                remedy="Both releases run until the hosts can be reached again; then any command finds out, and "
                f"finishes or undoes it: invoke status --env {self._environment.name}{address_left}",
            )
        if failures:
            raise UnfinishedError(
                f"release {self._release.id} is committed, but not recorded on {', '.join(failures)}",
                where=self._environment.name,
                why="\n".join(map(str, failures.values())),
                remedy="Once they can be reached again, any command goes on with it: "
                f"invoke status --env {self._environment.name}{address_left}",
            )

    def _marks(self, target: Target, current: Current) -> Marks:
        return self._told(target, current)

    def _told(self, target: Target, current: Current, tasks: Sequence[str] = ()) -> Marks:
        environment = self._environment
        # Only a deploy is followed by a move to the address that the environment has now. Where nothing served, the
        # proxy has got that already.
        if target.operation.kind != "deploy" and target.state.current:
            environment = as_served(self._config, environment, target.state)
        return marks(
            self._release,
            target.operation,
            current,
            target.host.name,
            config=self._config,
            environment=environment,
            tasks=tasks,
        )

    def _beyond_repair(self, phase: Phase, failures: dict[str, PortsideError]) -> dict[str, PortsideError]:
        """The failures that leave an operation unfinished: on hosts of their own, all of them."""
        del phase
        return failures

    async def _move(self) -> None:
        """Before what retires has drained, which may take minutes: monitoring asks at the new address already."""
        if self._moving is None:
            return
        try:
            await self._moving()
            self.outcome.unmoved = None
        except PortsideError as error:
            self.outcome.unmoved = error

    async def _retire(self) -> None:
        """Never fails the release: what went wrong is reported, and the next command tries again."""
        await self._retire_on(self._targets)

    async def _retire_on(self, targets: Sequence[Target]) -> dict[str, PortsideError]:
        failures = await self._settled("retire", self._retire_one, targets)
        for host, error in failures.items():
            self._note(f"retiring {self.outcome.previous} on {host} failed, the release stands: {error}")
        return failures

    async def _retire_one(self, target: Target) -> None:
        operation, environment = target.operation, self._environment
        if operation.previous_slot and not environment.keep_warm:
            left = await self._drains[target.host.name]
            if left:
                self._note(
                    f"{target.host.name}: {left} requests were still under way at {operation.previous} after "
                    f"{environment.drain_deadline:g} s; they get the container's grace period to end"
                )
        prune = to_prune(target, self._release, environment.keep)
        step = self._steps.retire(target, self._release, keep_warm=environment.keep_warm, prune=prune, grace=STOP_GRACE)
        said = await run_step(target, step)
        if said:
            self._note(f"{target.host.name}: {said}")

    @contextlib.asynccontextmanager
    async def _draining(self) -> AsyncIterator[None]:
        """Watch the previous release: on most hosts it is quiet before the commit is on disk."""
        self._drains = {target.host.name: asyncio.create_task(self._drain(target)) for target in self._targets}
        try:
            yield
        finally:
            for drain in self._drains.values():
                drain.cancel()
            await asyncio.gather(*self._drains.values(), return_exceptions=True)

    async def _drain(self, target: Target) -> int:
        """Requests still under way at the previous release when it was quiet, or the deadline had passed."""
        slot, previous = target.operation.previous_slot, target.operation.previous
        known = target.state.releases.get(previous) if previous else None
        if slot is None or known is None or self._environment.keep_warm:
            return 0
        admin = Admin(await target.host.tunnel(f"{target.state.base}/{ADMIN_SOCKET}"), target.host.name)
        return await admin.drained(await self._addresses(target, slot, known), self._environment.drain_deadline)

    async def _addresses(self, target: Target, slot: Slot, previous: Release) -> list[str]:
        """Where a host's proxy reaches the previous release."""
        return upstreams(target.site, slot, previous.web, previous.replicas, previous.port)

    async def _undo(self, cause: BaseException) -> None:
        """Put every host back, whatever the others do. Raises UnfinishedError naming the hosts where that failed."""
        self._reporter.say(f"Undoing on {len(self._targets)} host{'s' if len(self._targets) > 1 else ''} …")
        reason = cause.what if isinstance(cause, PortsideError) else "interrupted"
        lifting = asyncio.create_task(self._silence.lift()) if self._silence else None
        undone = await undo_all(self._targets, reason, self._reporter, note=self._note)
        if self._judge and isinstance(cause, PortsideError):
            await self._judge.explain(cause)
        failures = self._beyond_repair("undo", undone)
        if lifting and (problem := await lifting):
            self._note(problem)
        if failures:
            raise UnfinishedError(
                f"release {self._release.id} failed and could not be undone on {', '.join(failures)}",
                where=self._environment.name,
                why="\n".join([str(cause), *(str(error) for error in failures.values())]),
                remedy="The other hosts serve the previous release. Once they can be reached again, any command goes "
                f"on undoing: invoke status --env {self._environment.name}",
            )

    def _failed(self, cause: BaseException) -> BaseException:
        self.outcome.outcome = "undone"
        if not isinstance(cause, PortsideError):
            return cause
        previous = self.outcome.previous
        serves = f"{previous} serves as before" if previous else "nothing serves, as before"
        return ReleaseError(
            f"release {self._release.id} was undone; {serves}",
            where=self._environment.name,
            why=str(cause),
            remedy=f"Mend the cause and type: {self._again}",
        )

    @property
    def _again(self) -> str:
        """The same once more. A rollback's release is named: what serves may have changed meanwhile."""
        to = f" --to {self._release.id}" if self.outcome.kind == "rollback" else ""
        host = f" --host {self._only}" if self._only else ""
        return f"invoke {self.outcome.kind} --env {self._environment.name}{to}{host}"

    async def _read_elsewhere(self) -> bytes:
        """The release's directory from a host that has it, as a tar."""
        if self._holder is None:
            raise HostError(f"no host has release {self._release.id}", where=self._environment.name)
        host, state = self._holder
        folder = f"{state.base}/sites/{self._targets[0].site}/releases/{self._release.id}"
        result = await host.run(["tar", "-C", folder, "-c", "."], timeout=60)
        return result.check().stdout

    async def _phase(
        self,
        phase: Phase,
        act: Callable[[Target], Awaitable[object]],
        targets: Sequence[Target] | None = None,
        *,
        at_once: int | None = None,
    ) -> None:
        """One phase at all `targets` (every host when None), all at once or no more than `at_once` at any time."""
        chosen = self._targets if targets is None else targets
        if not chosen:
            return

        async def one(target: Target) -> None:
            with timed(self._reporter, target.host.name, phase):
                await act(target)

        began = time.monotonic()
        try:
            await everywhere(chosen, one, at_once=at_once)
        finally:
            self.outcome.timings.add(phase, time.monotonic() - began)

    async def _settled(
        self, phase: Phase, act: Callable[[Target], Awaitable[object]], targets: Sequence[Target] | None = None
    ) -> dict[str, PortsideError]:
        """One phase at every host, or at `targets`, each to its end even when interrupted; what failed, by host."""
        began = time.monotonic()

        async def one(target: Target) -> None:
            with timed(self._reporter, target.host.name, phase):
                await act(target)

        try:
            failures = await settle(self._targets if targets is None else targets, one)
        finally:
            self.outcome.timings.add(phase, time.monotonic() - began)
        return by_host(failures)

    def _note(self, text: str) -> None:
        self.outcome.notes.append(text)
        self._reporter.say(text)


def to_prune(target: Target, release: Release, keep: int) -> dict[str, str | None]:
    """Releases of a host beyond the newest `keep`, never what serves or stands behind it; each with an image to remove.

    An image goes only with the last release that uses it.
    """
    known = dict(target.state.releases) | {release.id: release}
    protected = {release.id, target.operation.previous}
    ordered = sorted(known, reverse=True)
    gone = [identity for identity in ordered[keep:] if identity not in protected]
    kept_images = {known[identity].image.reference for identity in known if identity not in gone}
    return {
        identity: None if known[identity].image.reference in kept_images else known[identity].image.reference
        for identity in gone
    }
