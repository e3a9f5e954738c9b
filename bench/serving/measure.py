"""Both sides run all the time and get their requests in turn, a few seconds each: what slows one slows the other."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.serving.load import CONNECTIONS, SCRIPT, require_wrk, send
from bench.serving.paths import NOTHING, READ
from bench.serving.processes import BARE, PRODUCTION, WORKERS, Server, cores, served
from portside.report import Reporter

AIM = 0.85
ROUTES = {READ: "a link is read from the database (the service's own route)", NOTHING: "nothing is done (worst case)"}
SECONDS = 4.0
WARM_UP_SECONDS = 2.0
SCRAPES = 30


@dataclass(frozen=True)
class Turn:
    """One side's few seconds."""

    per_second: float
    # Of the server's processes, in user and kernel mode: what a busy machine changes least.
    microseconds_each: float


@dataclass
class Route:
    """Turns of both sides, paired by round."""

    path: str
    what: str
    production: list[Turn] = field(default_factory=list)
    bare: list[Turn] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Requests per second, ours over theirs: the median of the rounds' own ratios."""
        return median(a.per_second / b.per_second for a, b in zip(self.production, self.bare, strict=True))

    @property
    def processor_ratio(self) -> float:
        """The same from processor time per request: theirs over ours."""
        return median(
            b.microseconds_each / a.microseconds_each for a, b in zip(self.production, self.bare, strict=True)
        )


@dataclass
class Serving:
    """The whole result."""

    rounds: int
    serving_cores: int
    routes: list[Route] = field(default_factory=list)
    scrape_seconds: float = 0.0
    scrape_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "workers": WORKERS,
            "connections": CONNECTIONS,
            "serving_cores": self.serving_cores,
            "aim": AIM,
            "routes": [
                {
                    "path": route.path,
                    "ratio": route.ratio,
                    "processor_ratio": route.processor_ratio,
                    "met": route.ratio >= AIM,
                    **{
                        side: {
                            "per_second": [turn.per_second for turn in turns],
                            "microseconds_each": [turn.microseconds_each for turn in turns],
                        }
                        for side, turns in (("production", route.production), ("bare", route.bare))
                    },
                }
                for route in self.routes
            ],
            "scrape": {"seconds": self.scrape_seconds, "bytes": self.scrape_bytes},
        }


def measure_serving(reporter: Reporter, *, rounds: int) -> Serving:
    """Raises ConfigError without wrk, CommandError when a side doesn't start or drops a request."""
    require_wrk()
    serving, sending = cores()
    results = Serving(rounds, len(serving))
    with (
        tempfile.TemporaryDirectory(prefix="portside-bench-") as home,
        served(PRODUCTION, cores=serving, reader_cores=sending) as production,
        served(BARE, cores=serving, reader_cores=sending) as bare,
    ):
        script = Path(home) / "wrk.lua"
        script.write_text(SCRIPT)

        def turn(server: Server, path: str, seconds: float) -> Turn:
            used = server.processor_seconds()
            sent = send(server.url + path, seconds=seconds, cores=sending, script=script)
            used = server.processor_seconds() - used
            return Turn(sent.per_second, used / sent.requests * 1e6)

        for path, what in ROUTES.items():
            route = Route(path, what)
            for server in (bare, production):
                turn(server, path, WARM_UP_SECONDS)
            for round_ in range(rounds):
                # Who is first changes: the second finds the cores as the first left them.
                for server, turns in ((production, route.production), (bare, route.bare))[:: 1 if round_ % 2 else -1]:
                    turns.append(turn(server, path, SECONDS))
                reporter.say(
                    f"{path}: {route.production[-1].per_second:,.0f} requests a second, "
                    f"bare {route.bare[-1].per_second:,.0f}"
                )
            results.routes.append(route)
        time.sleep(1)
        scrapes = [production.scrape() for _ in range(SCRAPES)]
        results.scrape_seconds = median(seconds for seconds, _ in scrapes)
        results.scrape_bytes = scrapes[-1][1]
    return results
