"""People are told of an operation beside it: whoever waits for that, the release lock doesn't."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from portside.config import Config, Environment, NewsKind
from portside.errors import PortsideError, UnfinishedError
from portside.journal import Operation
from portside.notify.event import Event
from portside.operators import job
from portside.outcome import Outcome, cause_of
from portside.release import Release
from portside.report import Reporter
from portside.steps import Target


class Notices:
    """What is told during one command. Leaving it waits until all has arrived, or the deadline for that has passed."""

    def __init__(self, config: Config, environment: Environment, reporter: Reporter) -> None:
        self._config, self._environment, self._reporter = config, environment, reporter
        self._under_way: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*self._under_way)
        except asyncio.CancelledError:
            # Ctrl-C: the operation is over, and ends as it did. Only the waiting is given up.
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            self._reporter.say("Interrupted: not everybody may have been told.")

    def send(
        self,
        kind: NewsKind,
        operation: Operation,
        *,
        hosts: Sequence[str],
        commit: str,
        seconds: float | None = None,
        reason: str = "",
        notes: list[str] | None = None,
    ) -> None:
        """Begin to tell how `operation` ended; who could not be told is said, and added to `notes`. Fails nothing."""
        if not self._config.notify:
            return
        event = Event(
            id=f"{operation.id}-{kind}",
            kind=kind,
            operation="rollback" if operation.kind == "rollback" else "deploy",
            service=self._config.service.name,
            env=self._environment.name,
            release=operation.release,
            previous=operation.previous,
            by=operation.owner,
            commit=commit,
            hosts=tuple(hosts),
            seconds=None if seconds is None else round(seconds, 1),
            reason=reason,
            link=job(),
            at=datetime.now(UTC),
        )
        self._under_way.append(asyncio.create_task(self._tell(event, notes)))

    async def _tell(self, event: Event, notes: list[str] | None) -> None:
        # Only who names a notifier waits for HTTP, mail and TLS to be loaded; the release goes on meanwhile.
        try:
            notify = (await asyncio.to_thread(importlib.import_module, "portside.notify.tell")).notify
            problems = await notify(self._config, self._environment, event)
        except Exception as error:  # a mistake of Portside's own in telling of a release is none of the release
            problems = [f"nobody was told ({event.kind}): something unexpected happened: {type(error).__name__}"]
        for problem in problems:
            self._reporter.say(problem)
            if notes is not None:
                notes.append(problem)


class Ending:
    """How one deploy or rollback ends, told once. Entered when the first host is about to be changed.

    `outcome` is None until there are phases to go through; `notices` where nobody is told.
    """

    outcome: Outcome | None = None

    def __init__(self, notices: Notices | None, targets: Sequence[Target], release: Release) -> None:
        self._notices, self._targets, self._release = notices, targets, release
        self._began = time.monotonic()
        self._told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._told:
            self._failed(error)

    def committed(self) -> None:
        """It serves and stays: what is left to do can't fail it."""
        self._send("rolled-back" if self._targets[0].operation.kind == "rollback" else "released")

    def _failed(self, error: BaseException) -> None:
        reason = self.outcome.reason if self.outcome else ""
        if isinstance(error, UnfinishedError):
            self._send("unfinished", "; ".join(filter(None, (error.what, reason))))
        elif self.outcome and self.outcome.outcome == "released":
            self.committed()
        elif self.outcome and self.outcome.outcome == "unfinished":
            self._send("unfinished", "interrupted while it was committed")
        elif isinstance(error, Exception) and not isinstance(error, PortsideError):
            self._send("unfinished", f"something unexpected happened: {type(error).__name__}")
        else:
            moved = self.outcome is not None and "switch" in self.outcome.timings.phases
            self._send("undone" if moved else "failed", reason or cause_of(error))

    def _send(self, kind: NewsKind, reason: str = "") -> None:
        self._told = True
        if self._notices is None:
            return
        operation = self._targets[0].operation
        previous = next((each.operation.previous for each in self._targets if each.operation.previous), None)
        self._notices.send(
            kind,
            operation.model_copy(update={"previous": previous}),
            hosts=[target.host.name for target in self._targets],
            commit=self._release.commit,
            seconds=time.monotonic() - self._began,
            reason=reason,
            notes=self.outcome.notes if self.outcome else None,
        )
