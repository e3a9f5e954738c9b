"""Looking at one host: a script that stays open there and answers each request with one look."""

from __future__ import annotations

import asyncio
import contextlib

from portside.config import Config
from portside.config import Judge as Settings
from portside.errors import HostError
from portside.host.base import Channel
from portside.host.script import script_argv
from portside.judge.looks import Look, parse_look
from portside.release import Release
from portside.steps import NONE, Target

END = b"@@end\n"
# A container that doesn't answer takes 2 s each for readiness and metrics, a long log 8 s.
LOOK_SECONDS = 15
# How far back the old release's error lines are counted.
LINES_SPAN = 600


class Looker:
    """One host. Opened by its first look, and again by the next one after a failure."""

    def __init__(self, target: Target, release: Release, config: Config) -> None:
        self.name = target.host.name
        self._host = target.host
        self._argv = _argv(target, release, config)
        self._settings = config.judge
        self._channel: Channel | None = None

    async def look(self, *words: str) -> Look:
        """One look at what `words` ask for (see look.sh). Raises HostError."""
        return parse_look(await self._ask(*words), self._settings)

    async def last_errors(self) -> list[str]:
        """The last log lines of the new release that say error. Raises HostError."""
        text = await self._ask("errors")
        return [line for line in text.splitlines() if line.strip() and not line.startswith("@@")]

    async def _ask(self, *words: str) -> str:
        try:
            if self._channel is None:
                self._channel = await self._host.open(self._argv)
            await self._channel.send(" ".join(words).encode() + b"\n")
            text = await self._channel.read_until(END, LOOK_SECONDS)
        except (HostError, asyncio.CancelledError):
            # What it was asked last may still come, and would be taken for the next answer.
            await self.close()
            raise
        if not text.endswith(END):
            ended, self._channel = self._channel, None
            words_said = (await ended.close()).stderr.decode(errors="replace").strip()
            raise HostError("looking at the releases ended by itself", where=self.name, why=words_said)
        return text.decode(errors="replace")

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(HostError):
                await channel.close()


def _argv(target: Target, release: Release, config: Config) -> list[str]:
    operation, settings = target.operation, config.judge
    known = target.state.releases.get(operation.previous or "")
    old = (
        (operation.previous_slot, known.id, known.web, str(known.port), known.readiness)
        if known and operation.previous_slot
        else (NONE,) * 5
    )
    new = (operation.slot, release.id, release.web, str(release.port), release.readiness)
    common = (settings.path, wanted(settings), settings.error_lines, str(LINES_SPAN))
    return script_argv("look", target.site, *common, *old, *new)


def wanted(settings: Settings) -> str:
    """An extended regular expression for the metrics that the judge reads: a thousand others stay on the host."""
    gauges = (settings.in_flight, settings.pool_in_use, settings.pool_capacity)
    names = (settings.requests, *(f"{settings.duration}_{part}" for part in ("bucket", "count", "sum")))
    every = dict.fromkeys((*names, *(gauge.partition("{")[0] for gauge in gauges)))
    return f"^({'|'.join(every)})[{{ ]"
