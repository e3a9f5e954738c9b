"""Who keeps everybody waiting: the hosts that are still at a phase, and since when. Pure: no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence

# From here on somebody who looks at a terminal wants to know whom it waits for, in seconds.
PATIENCE = 10.0
# How many are named; of more than that, which ones says little.
NAMED = 5


class Waiting:
    """What is under way. Times are in seconds, all of one clock."""

    def __init__(self) -> None:
        self._began: dict[tuple[str, str], float] = {}
        self._next = 0.0

    def told(self, host: str, phase: str, outcome: str, now: float) -> None:
        """What a reporter is told of a phase; `outcome` is "running" at its begin."""
        if outcome == "running":
            self._began[host, phase] = now
        else:
            self._began.pop((host, phase), None)

    def text(self, now: float) -> str:
        """`waiting for web-7 (start, 12 s)`; "" while nothing takes long. Who has waited longest comes first."""
        # A copy: a live table is drawn in a thread of its own.
        longest = sorted((began, host, phase) for (host, phase), began in list(self._began.items()))
        longest = [each for each in longest if now - each[0] >= PATIENCE]
        if not longest:
            return ""
        shown = [f"{host} ({phase}, {now - began:.0f} s)" for began, host, phase in longest[:NAMED]]
        return f"waiting for {', '.join(shown)}{_more(len(longest) - NAMED)}"

    def due(self, now: float) -> str:
        """As `text`, but not again until twice as long has passed: a log is read afterwards, line by line."""
        said = self.text(now)
        if not said:
            self._next = 0.0
            return ""
        waited = now - min(self._began.values())
        if waited < self._next:
            return ""
        self._next = 2 * waited
        return said


def named(hosts: Sequence[str]) -> str:
    """Hosts in a line that a person reads: all of a few, some of many."""
    return f"{', '.join(hosts[:NAMED])}{_more(len(hosts) - NAMED)}"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
