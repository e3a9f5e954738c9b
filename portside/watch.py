"""What monitoring has to do with a release beside its phases: quiet while it switches, an agent that is current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portside.agents import observed, refresh
from portside.journal import Operation
from portside.operators import operator
from portside.outcome import Outcome
from portside.silence import Silence
from portside.site import Site, operation_id
from portside.steps import Target


@dataclass(frozen=True)
class Watch:
    """One release's; `silence` is None where nobody watches."""

    site: Site
    targets: Sequence[Target]
    silence: Silence | None

    @classmethod
    def of(cls, site: Site, targets: Sequence[Target]) -> Watch:
        watched = observed(site.config, site.states)
        return cls(site, targets, Silence(site.config, site.environment, site.hosts) if watched else None)

    async def announce(self, outcome: Outcome) -> None:
        """After the release: say what monitoring knows of it, and bring the agent up to date. Fails nothing."""
        if self.silence is None:
            return
        # A rollback changes nothing but what serves.
        deployed = self.targets[0].operation.kind == "deploy"
        notes = await refresh(self.site, self.targets) if deployed else []
        problem = await self.silence.problem()
        if problem:
            notes.append(problem)
        for note in notes:
            outcome.notes.append(note)
            self.site.reporter.say(note)
        quiet = (
            f"; alerts that a switch may trip are quiet in {self.site.environment.name} until "
            f"{self.silence.until.astimezone():%H:%M:%S}"
            if self.silence.until and not problem
            else ""
        )
        self.site.reporter.say(f"Announced: {outcome.release} is marked in monitoring{quiet}.")


async def refreshed(site: Site, names: Sequence[str]) -> None:
    """The agent alone, where there is nothing to release."""
    operation = Operation(id=operation_id(), kind="maintenance", owner=operator())
    for note in await refresh(site, [site.target(name, operation) for name in names]):
        site.reporter.say(note)
