"""How a deploy or rollback ended, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from portside.errors import PortsideError
from portside.journal import Kind
from portside.report import Timings
from portside.secrets.scrub import scrub


@dataclass
class Outcome:
    """How an operation ended. `seconds` is per phase, of the slowest host.

    `unmoved`: why a committed release may still be asked at its old address; None where that is done, or isn't to be.
    """

    release: str
    previous: str | None
    outcome: str
    timings: Timings = field(default_factory=Timings)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    exchanges: dict[str, int] = field(default_factory=dict)
    bytes_sent: dict[str, int] = field(default_factory=dict)
    unmoved: PortsideError | None = None
    kind: Kind = "deploy"

    def address_left(self, env: str) -> str:
        """The end of what to type next, since no other command moves an address; "" where that isn't left."""
        return f". The address moves with the next deploy: invoke deploy --env {env}" if self.unmoved else ""

    def way_back(self, env: str) -> str:
        """What brings `previous` back; "" where there was none."""
        return way_back(env, self.kind, self.previous) if self.previous else ""


def way_back(env: str, kind: Kind, previous: str | None) -> str:
    """What to type to have the release again that served before a committed operation."""
    # Without a name a rollback goes back from what serves, which after a rollback is further back.
    return f"invoke rollback --env {env}" + (f" --to {previous}" if kind == "rollback" and previous else "")


def cause_of(error: BaseException) -> str:
    """Why something was undone, in one line; an error's log lines stay on the terminal."""
    if not isinstance(error, PortsideError):
        return "interrupted"
    return scrub(f"{error.what}{': ' + error.where if error.where else ''}")
