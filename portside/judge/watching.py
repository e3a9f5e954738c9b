"""The judge at work during a release: look at every host each second, say what it finds, stop a bad release.

Whatever goes wrong with looking is said and undoes nothing: a judge that can't see abstains.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import chain

from portside.config import Config, Environment
from portside.errors import HostError, PortsideError, ReleaseError
from portside.judge.findings import Verdict, concluded
from portside.judge.judge import Judge
from portside.judge.looker import Looker
from portside.judge.looks import Look
from portside.judge.promql import Queries
from portside.release import Release
from portside.steps import Target

LOOK_EVERY = 1.0
LINES_EVERY = 5
# How long one host's answer may keep a verdict on the others waiting.
PATIENCE = 0.7
SHOWN_ERRORS = 5


class Watching:
    """One release's judge. `begin` before anything else, `stage` and `judged` when traffic moved, `end` always."""

    def __init__(
        self,
        config: Config,
        environment: Environment,
        release: Release,
        targets: Sequence[Target],
        note: Callable[[str], None],
        *,
        stages: int = 1,
    ) -> None:
        self._environment, self._settings, self._note = environment, config.judge, note
        self._lookers = [Looker(target, release, config) for target in targets]
        # In a Swarm no node says that it is warm. What runs has counted requests that are no news.
        running = {each.release for target in targets for each in target.state.containers if each.running}
        self._warm = release.id in running or any(target.operation.warm for target in targets)
        self._judge = Judge(config.judge, [looker.name for looker in self._lookers], stages=stages, warm=self._warm)
        self._compares = any(target.operation.previous for target in targets)
        self._looking: dict[str, asyncio.Task[Look]] = {}
        self._errors: list[asyncio.Task[list[str]]] = []
        self._blind: set[str] = set()
        self._before: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._share: float | None = None
        previous = next((target.operation.previous for target in targets if target.operation.previous), None)
        names = {
            "service": release.service,
            "env": release.env,
            "release": release.id,
            "previous": previous or "",
        }
        self._queries = Queries(config, [target.host for target in targets], names, note)

    def begin(self) -> None:
        """Look at the previous release from now to the switch, beside whatever else is done."""
        if self._compares:
            self._before = asyncio.create_task(self._look_before())

    def stage(self, share: float | None) -> None:
        """Traffic has just moved: `share` per cent of it, or all (None)."""
        self._share, self._enough = share, asyncio.Event()
        self._judge.begin(side_by_side=share is not None)

    async def enough(self) -> AsyncIterator[bytes]:
        """Standard input of a host's bake: a line when this stage is to end early."""
        await self._enough.wait()
        yield b"enough\n"

    async def judged(self, seconds: float) -> None:
        """Judge the stage for `seconds` from now. Raises ReleaseError when the release is worse."""
        if not self._compares:
            self._note("The judge abstains: there is no previous release to compare with.")
            return
        await self._stop(self._before)
        if self._queries.any and self._asking is None:
            self._asking = asyncio.create_task(self._queries.watch())
        loop = asyncio.get_running_loop()
        switched = loop.time()
        tick, passed = 0, 0.0
        while passed < seconds:
            # After the switch the old one's counters once more: requests that it was at are in them.
            old = "old" if tick == 0 or self._share is not None else "ready"
            looks = await self._looks(old, "new", *(("new-lines",) if tick % LINES_EVERY == 0 else ()))
            passed = loop.time() - switched
            verdict = self._with_queries(self._judge.after(looks, passed) if looks else Verdict("wait"))
            if verdict.kind == "undo":
                self._errors = [asyncio.create_task(self._last_errors(looker)) for looker in self._lookers]
                # The undo takes the logs away; but the bad release answers as long as it is waited for.
                await asyncio.wait(self._errors, timeout=PATIENCE)
                raise ReleaseError(verdict.reason, where=f"{self._environment.name}, {self._called}")
            if verdict.kind == "commit":
                self._enough.set()
                break
            tick += 1
            await asyncio.sleep(max(0.0, min(switched + tick * LOOK_EVERY, switched + seconds) - loop.time()))
            passed = loop.time() - switched
        self._say_summary(passed)

    def _with_queries(self, verdict: Verdict) -> Verdict:
        wrong = self._queries.findings
        if wrong:
            return concluded([*verdict.findings, *wrong], early=False)
        return verdict if verdict.kind != "commit" or self._queries.quiet else Verdict("wait", verdict.findings)

    async def explain(self, error: PortsideError) -> None:
        """Tell `error`, which `judged` has raised, what the new release logged last. For when the undo is done: whoever
        hasn't answered by then has nothing left to tell of."""
        if not self._errors or error.why:
            return
        done, _ = await asyncio.wait(self._errors, timeout=PATIENCE)
        answers = [task.result() for task in self._errors if task in done and not task.exception()]
        if lines := list(chain.from_iterable(answers)):
            error.why = "\n".join(["--- its last lines that say error", *lines[-SHOWN_ERRORS:]])

    async def _last_errors(self, looker: Looker) -> list[str]:
        if looking := self._looking.get(looker.name):
            await asyncio.wait([looking])
        return await looker.last_errors()

    def _say_summary(self, passed: float) -> None:
        early = ", which is enough" if self._enough.is_set() else ""
        called = self._called.capitalize()
        for line in self._judge.summary(passed).splitlines():
            self._note(f"{called}: {line}{early}.")
            early = ""
        for text in self._queries.abstained if self._share is None else ():
            self._note(f"{called}: the judge abstains on {text}.")

    @property
    def _called(self) -> str:
        return "bake" if self._share is None else f"bake of a canary of {self._share:g} %"

    async def end(self) -> None:
        """Leave nothing open, neither here nor on a host. May be called again."""
        await self._stop(self._before)
        await self._stop(self._asking)
        asked = [*self._looking.values(), *self._errors]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.gather(*(looker.close() for looker in self._lookers), return_exceptions=True)

    async def _look_before(self) -> None:
        await asyncio.to_thread(importlib.import_module, "prometheus_client.parser")
        first = True
        while True:
            looks = await self._looks("old", *(("new",) if self._warm else ()), *(("old-lines",) if first else ()))
            if looks:
                self._judge.before(looks)
            first = False
            await asyncio.sleep(LOOK_EVERY)

    @staticmethod
    async def _stop(task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _looks(self, *words: str) -> dict[str, Look]:
        """What the hosts answered; one that is slow is taken along by a later look, one that fails is told of once."""
        for looker in self._lookers:
            if looker.name not in self._looking:
                self._looking[looker.name] = asyncio.create_task(looker.look(*words))
        await asyncio.wait(self._looking.values(), timeout=PATIENCE)
        looks = {}
        for name, task in list(self._looking.items()):
            if not task.done():
                continue
            del self._looking[name]
            try:
                looks[name] = task.result()
                self._blind.discard(name)
            except HostError as error:
                self._tell_blind(name, error)
        return looks

    def _tell_blind(self, name: str, error: PortsideError) -> None:
        if name not in self._blind:
            self._blind.add(name)
            why = f": {error.why.splitlines()[-1]}" if error.why else ""
            self._note(f"The judge can't look at {name} and abstains on it: {error.what}{why}")
