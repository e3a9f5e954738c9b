"""What the judge finds by one criterion, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["worse", "fine", "unclear", "abstains"]
Kind = Literal["wait", "commit", "undo"]
# The criteria that only a service's metrics tell of.
OF_REQUESTS = ("5xx", "p50", "p99")


@dataclass(frozen=True)
class Finding:
    """`fine` is evidence of not being worse than allowed; `unclear` is neither; `abstains` says why in `text`.

    `where` is a host, or "" for all of them together; `brief` is the same in a few words, for when all is well.
    """

    criterion: str
    state: State
    text: str
    where: str = ""
    brief: str = ""

    def __str__(self) -> str:
        return f"{self.text}{f' on {self.where}' if self.where else ''}"


@dataclass(frozen=True)
class Verdict:
    kind: Kind
    findings: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is to be undone, the first and plainest finding first."""
        return "; ".join(str(finding) for finding in self.findings if finding.state == "worse")


def concluded(findings: Sequence[Finding], *, early: bool) -> Verdict:
    """Undo on any finding that is worse; commit where `early` allows it and everything that was judged is fine."""
    found = tuple(findings)
    if any(finding.state == "worse" for finding in found):
        return Verdict("undo", found)
    judged = [finding for finding in found if finding.criterion in OF_REQUESTS and not finding.where]
    if early and judged and all(finding.state == "fine" for finding in judged):
        return Verdict("commit", found)
    return Verdict("wait", found)


def percent(share: float) -> str:
    """`0.1 %`, `34 %`: no more digits than anybody can use."""
    return f"{round(share * 100, 1 if share >= 0.01 else 2):g} %"


def time(seconds: float | None) -> str:
    if seconds is None:
        return "more than the last bucket"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def by_chance(state: State, error: float) -> str:
    """How sure "worse" is, in words that need no statistics."""
    return f"; by chance in one of {1 / error:,.0f} releases at most" if state == "worse" else ""
