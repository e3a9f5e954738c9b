"""Alertmanager is told of a switch: for its environment, alerts that a switch may trip stay quiet until it is over.

Which alerts those are is said at each rule, by the label `switch: may-trip`. Nothing here can fail a release or make it
wait: the requests run beside its phases, and one that fails is a line in its report.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from portside.config import Config, Environment
from portside.errors import HostError, PortsideError
from portside.host.base import Host
from portside.observe.ask import ask, stack

LABEL, VALUE = "switch", "may-trip"
# How long after the last moment at which the old release may still be stopping.
AFTERWARDS = 60
# Connecting to the machine of the central stack included.
DEADLINE = 8


def silence(environment: Environment, release: str, owner: str, *, now: datetime) -> dict[str, object]:
    """The silence for a switch at `now`, as Alertmanager's API v2 takes it. It ends by itself, whoever dies."""
    baking = environment.bake * (1 + len(environment.canary))
    ends = now + timedelta(seconds=baking + environment.drain_deadline + AFTERWARDS)
    return {
        "matchers": [
            {"name": "env", "value": environment.name, "isRegex": False, "isEqual": True},
            {"name": LABEL, "value": VALUE, "isRegex": False, "isEqual": True},
        ],
        "startsAt": now.isoformat(),
        "endsAt": ends.isoformat(),
        "createdBy": owner,
        "comment": f"{environment.name} switches to {release}",
    }


class Silence:
    """The silence of one release. `hosts`: connections that are open already, in case the stack runs on one."""

    def __init__(self, config: Config, environment: Environment, hosts: Sequence[Host]) -> None:
        self._config, self._environment, self._hosts = config, environment, hosts
        self._begun: asyncio.Task[str] | None = None
        self.until: datetime | None = None

    def begin(self, release: str, owner: str) -> None:
        """Ask for it, and don't wait for the answer."""
        now = datetime.now(UTC)
        wanted = silence(self._environment, release, owner, now=now)
        self.until = datetime.fromisoformat(str(wanted["endsAt"]))
        self._begun = asyncio.create_task(self._post(wanted))
        # Where the release ends in a way that nobody asks how this went, it isn't a warning of asyncio's either.
        self._begun.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def lift(self) -> str:
        """A release that was undone may page again, at once. What went wrong, "" when nothing did."""
        problem = await self.problem()
        if problem or self._begun is None:
            return problem
        try:
            async with asyncio.timeout(DEADLINE):
                await self._ask("DELETE", f"/api/v2/silence/{self._begun.result()}", "")
        except (PortsideError, TimeoutError) as error:
            return f"the silence for this switch could not be ended before its time: {_words(error)}"
        return ""

    async def problem(self) -> str:
        """Why there is no silence, "" when there is one or none was asked for. Waits for the answer."""
        if self._begun is None:
            return ""
        try:
            await self._begun
        except (PortsideError, TimeoutError) as error:
            return f"Alertmanager could not be told of the switch, so it may have paged: {_words(error)}"
        return ""

    async def _post(self, wanted: dict[str, object]) -> str:
        async with asyncio.timeout(DEADLINE):
            answer = await self._ask("POST", "/api/v2/silences", json.dumps(wanted))
        try:
            return str(json.loads(answer)["silenceID"])
        except (ValueError, KeyError, TypeError):
            raise HostError("Alertmanager's answer makes no sense", why=answer[:200]) from None

    async def _ask(self, method: str, path: str, body: str) -> str:
        async with stack(self._config.observe, self._hosts) as host:
            return await ask(host, self._config.observe.alertmanager, method, path, body)


def _words(error: BaseException) -> str:
    if isinstance(error, PortsideError):
        return f"{error.what}{': ' + error.where if error.where else ''}"
    return f"no answer within {DEADLINE} s"
