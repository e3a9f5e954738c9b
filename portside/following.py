"""A host's logs; followed, they lead from one release into the next."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portside.config import Environment
from portside.diagnosis import busy
from portside.errors import CommandError
from portside.facts import Container, State
from portside.fleet import everywhere, read_states
from portside.host.base import Host
from portside.release import Slot

# A log that is followed may be silent for long; this only bounds how long a dead connection goes unnoticed.
SILENCE_SECONDS = 24 * 3600
# Between two looks at what serves, once what was followed has ended.
LOOK_SECONDS = 1.0
# Compose writes this before every line, asked for colours or not.
ERASE_LINE = b"\x1b[2K"


@dataclass(frozen=True)
class Logs:
    """Which logs of a site were asked for, and who is told what happens meanwhile. `many`: lines name their host."""

    site: str
    environment: Environment
    service: str | None
    lines: str
    since: str | None
    follow: bool
    previous: bool
    many: bool
    say: Callable[[str], None]

    def release(self, state: State) -> str | None:
        current = state.current
        return (current.previous if self.previous else current.release) if current else None

    def slot(self, state: State) -> Slot | None:
        """Where that is on a host of its own. What was rolled back from is in it, though nothing was before that."""
        current = state.current
        return (current.previous_slot if self.previous else current.slot) if current else None

    def docker(self, lines: str, since: str | None) -> list[str]:
        return ["--tail", lines, *(["--follow"] if self.follow else []), *(["--since", since] if since else [])]

    async def stream(self, host: Host, state: State) -> None:
        """Print what a host's containers say; followed, also what those say that serve after them.

        Raises CommandError where nothing serves after them.
        """
        release, slot, options = self.release(state), self.slot(state), self.docker(self.lines, self.since)
        while True:
            clock, started, before = state.clock, time.monotonic(), release
            if self.environment.swarm:
                here = [each for each in self._asked(state) if each.release == release]
                await self._tasks(host, here, options)
                if not here:
                    return
            else:
                argv = ["docker", "compose", "--ansi", "never", "-p", f"{self.site}-{slot}", "logs", "--no-color"]
                argv += [*options, *([self.service] if self.service else [])]
                await pass_on(host, argv, f"{host.name} " if self.many else "")
            if not self.follow or self.previous:
                return
            ended = clock + time.monotonic() - started
            state = await self._look_again(host)
            if not (serving := self._serving(state)):
                self._nothing_serves(host, before)
                return
            release, slot = serving[0].release, state.serving
            # The next one began while this one was followed. The same one, started again, has said all before that.
            options = self.docker("all", f"{ended if release == before else clock:.3f}")
            self.say(f"{host.name}: {before} has ended; {release} serves, and its logs follow.")

    async def _tasks(self, host: Host, containers: Sequence[Container], options: Sequence[str]) -> None:
        """Of a Swarm's containers on a node; those that the Swarm puts there later aren't among them."""
        await everywhere(
            containers,
            lambda container: pass_on(
                host,
                ["docker", "logs", *options, container.id],
                f"{host.name} {container.name.rpartition('.')[0]}  | ",
            ),
        )

    async def _look_again(self, host: Host) -> State:
        """What is there once something that was asked for serves, or once nobody is at work on that any more."""
        deadline = time.monotonic() + self.environment.start_deadline
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            state = (await read_states([host], self.site, full=False))[host.name]
            if self._serving(state) or not busy(state) or time.monotonic() > deadline:
                return state

    def _serving(self, state: State) -> list[Container]:
        """By the route, not by what is committed: a role that stops first is handed over at the switch."""
        return [each for each in self._asked(state) if each.running and each.slot == state.serving]

    def _asked(self, state: State) -> list[Container]:
        return [each for each in state.containers if self.service in (None, each.service)]

    def _nothing_serves(self, host: Host, release: str | None) -> None:
        if self.environment.swarm:
            # It may be another node's turn.
            self.say(f"{host.name}: {release} has ended. To follow what runs elsewhere by then, type the same again.")
            return
        raise CommandError(
            f"{release} has ended, and no container of {self.service or self.site} serves after it",
            where=host.name,
            remedy=f"invoke status --env {self.environment.name} says what there is; type the same again once it runs.",
        )


async def pass_on(host: Host, argv: list[str], prefix: str) -> None:
    """Print what a command says while it says it. Raises CommandError when it fails, BrokenPipeError unread."""
    channel = await host.open(argv, stderr_to_stdout=True)
    while text := await channel.readline(SILENCE_SECONDS):
        sys.stdout.write(prefix + text.replace(ERASE_LINE, b"").decode(errors="replace"))
        sys.stdout.flush()
    (await channel.close()).check()
