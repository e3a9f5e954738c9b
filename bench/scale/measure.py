"""The measurements: deploys of a new tag to N simulated hosts over networks of different latency, then with trouble."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.scale.deployer import Deployed, deploy
from bench.scale.hosts import IMAGES, Simulation, simulated, write_project
from portside.errors import CommandError

COUNTS = (1, 3, 10, 30, 100)
LATENCIES = (0.005, 0.05, 0.2)
# Where a trip takes this long, in seconds, the network is what a deploy waits for.
DOMINATED = 0.2
RATIO_AIM, MEMORY_AIM = 1.5, 200.0
TROUBLED, TROUBLE_LATENCY, CULPRIT = 30, 0.05, "sim-007"
SLOWER = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """Deploys to `hosts` hosts, one per round; `latency` in seconds per direction."""

    hosts: int
    latency: float
    runs: tuple[Deployed, ...]

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def processor(self) -> float:
        return median(run.processor for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return max(run.peak_mb for run in self.runs)

    @property
    def exchanges(self) -> int:
        """Of the busiest host."""
        return max(int(count) for run in self.runs for count in run.data["exchanges"].values())

    def ratio(self, one: Cell) -> float:
        """Over the same with one host: the median of the rounds' own ratios."""
        pairs = zip(self.runs, one.runs, strict=True)
        return median(ours.seconds / theirs.seconds for ours, theirs in pairs)


@dataclass(frozen=True)
class Trouble:
    """A deploy to TROUBLED hosts of which one is not well: how long it took, and how it was told."""

    what: str
    deployed: Deployed

    @property
    def told(self) -> str:
        """Of a failure where and what; else whom it waited for."""
        data = self.deployed.data
        if "error" in data:
            first = str(data["why"]).splitlines()[0] if CULPRIT not in str(data["where"]) else ""
            return "; ".join(filter(None, (f"{data['where']}: {data['error']}", first)))
        said = [line.partition(" ")[2] for line in self.deployed.said.splitlines() if "waiting for" in line]
        return said[0] if said else "–"


@dataclass
class Scale:
    """A whole run."""

    rounds: int
    cells: list[Cell] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def one(self, latency: float) -> Cell:
        return next(cell for cell in self.cells if (cell.hosts, cell.latency) == (1, latency))


def measure_scale(root: Path, say: Say, *, rounds: int) -> Scale:
    """`root` is the repository, for its Compose files. Raises CommandError where a deploy fails that should not."""
    found = Scale(rounds)
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as scratch:
        project = Path(scratch) / "project"
        with simulated(max(COUNTS), Path(scratch) / "lab") as simulation:
            write_project(project, root, simulation.lab, COUNTS)
            tags = _Tags(project)
            simulation.become(0)
            for count in COUNTS:
                tags.released(count)
            found.cells = _cells(simulation, tags, say, rounds)
            found.troubles = _troubles(simulation, tags, say)
    return found


class _Tags:
    """Deploys, each of another image than the one before it to the same hosts."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._deploys: dict[int, int] = {}

    def deploy(self, count: int) -> Deployed:
        number = self._deploys.get(count, 0)
        done = deploy(self._project, f"n{count}", IMAGES[number % len(IMAGES)])
        # What failed has left the hosts with the image before it.
        self._deploys[count] = number + (done.code == 0)
        return done

    def released(self, count: int) -> Deployed:
        done = self.deploy(count)
        if done.code != 0:
            raise CommandError(f"a deploy to {count} simulated hosts failed", where="this machine", why=done.said)
        return done


def _cells(simulation: Simulation, tags: _Tags, say: Say, rounds: int) -> list[Cell]:
    runs: dict[tuple[float, int], list[Deployed]] = {}
    for _ in range(rounds):
        for latency in LATENCIES:
            simulation.become(latency)
            for count in COUNTS:
                done = tags.released(count)
                runs.setdefault((latency, count), []).append(done)
                say(f"{latency * 1000:g} ms, {count} host{'s' if count > 1 else ''}: {done.seconds:.2f} s")
    return [Cell(count, latency, tuple(deploys)) for (latency, count), deploys in runs.items()]


def _troubles(simulation: Simulation, tags: _Tags, say: Say) -> list[Trouble]:
    def one(what: str, *, slow: float = 1.0, fault: str = "") -> Trouble:
        simulation.become(TROUBLE_LATENCY, slow={CULPRIT: slow}, faults={CULPRIT: fault})
        trouble = Trouble(what, tags.deploy(TROUBLED))
        say(f"{what}: {trouble.deployed.seconds:.2f} s, exit code {trouble.deployed.code}")
        return trouble

    return [
        one("all well"),
        one(f"one is {SLOWER:g}× as far away", slow=SLOWER),
        one("one starts 15 s later", fault="slow"),
        one("one refuses connections", fault="refuse"),
        one("one fails its gate", fault="gate"),
        one("one goes silent while it starts", fault="dead"),
    ]


def met(scale: Scale) -> Sequence[tuple[str, float, float]]:
    """Each aim: what, the figure, the most it may be."""
    largest = max(COUNTS)
    far = next(cell for cell in scale.cells if (cell.hosts, cell.latency) == (largest, DOMINATED))
    return (
        (f"T({largest})/T(1) at {DOMINATED * 1000:g} ms", far.ratio(scale.one(DOMINATED)), RATIO_AIM),
        ("memory of the deployer, MB", max(cell.peak_mb for cell in scale.cells), MEMORY_AIM),
    )
