"""The demo, in order: a host, a release, then a good and a bad one while requests go on."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from portside.config import Config
from portside.demo.ground import (
    Ground,
    base_images,
    ensure_host,
    ensure_surroundings,
    local_images,
    remember_images,
)
from portside.demo.monitoring import watch
from portside.demo.report import DemoReport, Expectation, ReleaseReport, last_words
from portside.demo.variants import GREETING, broken_tree, changed_tree
from portside.demo.watch import Chapter, Sightings, watched
from portside.engine import ensure_engine
from portside.errors import ReleaseError
from portside.image.build import BuiltImage
from portside.lab.image import ensure_lab_image
from portside.lab.values import Lab
from portside.load import Failure, LoadProcess, Report, load_process
from portside.making import draft
from portside.operations import deploy
from portside.operators import operator
from portside.outcome import Outcome
from portside.plan import Plan
from portside.release import Image
from portside.report import Reporter
from portside.shipping import build

TITLES = ("first release", "a change", "a bad change")
# Leaves the two cores of a small laptop to the deployer, the host's Engine and the service.
RATE = 100.0
# How long traffic goes on before and after a release, so that its report has both sides of it.
LEAD_SECONDS = 1.5
HEALTH_SECONDS = 30.0

T = TypeVar("T")


@dataclass
class Setup:
    """Seconds that each part of the preparation took. Parts overlap."""

    seconds: dict[str, float] = field(default_factory=dict)

    async def part(self, name: str, work: Awaitable[T]) -> T:
        began = time.monotonic()
        try:
            return await work
        finally:
            self.seconds[name] = time.monotonic() - began


@dataclass(frozen=True)
class Stage:
    """Everything that is needed before the first release."""

    lab: Lab
    images: tuple[BuiltImage, BuiltImage, BuiltImage]

    @property
    def host(self) -> str:
        return self.lab.hosts[0].name

    @property
    def address(self) -> str:
        return f"http://{self.lab.hosts[0].address}"


@dataclass(frozen=True)
class Told:
    """One release as it went: its report, what the proxy showed, and when each phase began."""

    report: ReleaseReport
    outcome: Outcome
    chapter: Chapter
    error: ReleaseError | None = None


async def play(ground: Ground, reporter: Reporter) -> DemoReport:
    """The whole demo. Raises PortsideError when it can't take place; what goes wrong in it is in the report."""
    began = time.monotonic()
    setup = Setup()
    await setup.part("Docker Engine", ensure_engine(reporter.say))
    stage = await _prepared(ground, reporter, setup)
    reporter.say(f"{TITLES[0]}: the service as it is in this tree")
    first = await _release(ground, stage, 0, reporter)
    async with (
        load_process(stage.address, rate=RATE, every=0.25) as load,
        watched(stage.address) as sightings,
    ):
        await asyncio.sleep(LEAD_SECONDS)
        reporter.say(f"{TITLES[1]}: every answer gets the header {GREETING[0]}, while {RATE:.0f} requests/s go on")
        second = await _release(ground, stage, 1, reporter, load)
        greeted = await _greeted(stage)
        reporter.say(f"{TITLES[2]}: passes its gate, takes traffic, and ends two seconds later")
        third = await _release(ground, stage, 2, reporter, load)
        await asyncio.sleep(LEAD_SECONDS)
        greeted_again = await _greeted(stage)
    monitoring = await setup.part("monitoring", watch(ground, reporter))
    told = (first, second, third)
    return DemoReport(
        address=stage.address,
        setup=setup.seconds,
        releases=tuple(each.report for each in told),
        requests_sent=load.report.requests + sightings.asked,
        requests_failed=load.report.failed + sightings.failed,
        latency=load.report.latency_ms,
        failures=tuple(_failure(failure) for failure in load.report.failures),
        undone_because=third.outcome.reason,
        last_words=last_words(third.error.why if third.error else ""),
        expectations=expectations(told, load.report, sightings, greeted=greeted, greeted_again=greeted_again),
        monitoring=monitoring,
        seconds=time.monotonic() - began,
    )


async def _prepared(ground: Ground, reporter: Reporter, setup: Setup) -> Stage:
    """The host, and all images, as much of it at once as depends on nothing else."""
    config = ground.config
    present = await local_images()
    remember_images(ground, [image for image in base_images(config) if image not in present])
    async with asyncio.TaskGroup() as group, _builds(config) as trees:
        images = group.create_task(setup.part("service image", _built(ground, trees, present, reporter)))
        host = group.create_task(setup.part("host", _host(ground, reporter)))
        group.create_task(setup.part("proxy and database images", ensure_surroundings(ground, reporter, host)))
        await images
    return Stage(host.result(), images.result())


@contextlib.asynccontextmanager
async def _builds(config: Config) -> AsyncIterator[tuple[Config, Config, Config]]:
    """The tree, and two copies of it with a change each."""
    with tempfile.TemporaryDirectory(prefix="portside-demo-") as scratch:
        folder = Path(scratch)
        yield config, changed_tree(config, folder / "changed"), broken_tree(config, folder / "broken")


async def _built(
    ground: Ground, trees: tuple[Config, Config, Config], present: frozenset[str], reporter: Reporter
) -> tuple[BuiltImage, BuiltImage, BuiltImage]:
    """One after the other: the second and third find every layer but the last."""
    made = []
    for tree in trees:
        image = await build(tree, reporter)
        if image.reference not in present:
            remember_images(ground, [image.reference])
        made.append(image)
    return made[0], made[1], made[2]


async def _host(ground: Ground, reporter: Reporter) -> Lab:
    await ensure_lab_image(say=reporter.say)
    return await ensure_host(ground, reporter)


async def _agreed(_: Plan) -> bool:
    return True


async def _release(
    ground: Ground, stage: Stage, number: int, reporter: Reporter, load: LoadProcess | None = None
) -> Told:
    """What `invoke deploy --env demo --image …` does, in this process; an undone release is an outcome here."""
    chapter = Chapter(reporter, TITLES[number], stage.host)
    before = load.report if load else None
    built = stage.images[number]
    image = Image(reference=built.reference, id=built.id, size=built.size, architecture=built.architecture)
    began = time.monotonic()
    config, environment, error = ground.config, ground.environment, None
    made = await draft(config, environment, image=image, commit="demo", created_by=operator())
    try:
        outcome = await deploy(made, chapter, confirm=_agreed, force=True)
    except ReleaseError as undone:
        if not isinstance(undone.outcome, Outcome) or number != len(TITLES) - 1:
            raise
        outcome, error = undone.outcome, undone
    assert outcome is not None  # noqa: S101 - it is None only without `force`
    took = time.monotonic() - began
    if load and before:
        # What the load process tells is up to a quarter of a second old.
        await asyncio.sleep(0.3)
        sent, failed = load.report.requests - before.requests, load.report.failed - before.failed
        return Told(
            ReleaseReport.of(TITLES[number], outcome, took, requests=sent, failed=failed), outcome, chapter, error
        )
    return Told(ReleaseReport.of(TITLES[number], outcome, took), outcome, chapter, error)


async def _greeted(stage: Stage) -> bool:
    """Whether the service as seen from outside is the changed one."""
    import httpx  # noqa: PLC0415 - for two requests

    async with httpx.AsyncClient(timeout=HEALTH_SECONDS) as client:
        answer = await client.get(f"{stage.address}/health")
    return bool(answer.headers.get(GREETING[0]) == GREETING[1])


def expectations(
    told: tuple[Told, Told, Told], load: Report, sightings: Sightings, *, greeted: bool, greeted_again: bool
) -> tuple[Expectation, ...]:
    """What the demo promised, against what was seen from outside."""
    _, second, third = told
    failed = load.failed + sightings.failed
    bad = sightings.first(third.report.id)
    back = sightings.first(second.report.id, after=bad) if bad is not None else None
    undo = third.chapter.began.get("undo")
    ahead = undo - back if undo is not None and back is not None else None
    return (
        Expectation("no request failed", failed == 0, f"{load.requests + sightings.asked:,} sent, {failed} failed"),
        Expectation("the change reached users", greeted and second.report.outcome == "released", GREETING[1]),
        Expectation("the bad change passed its gate and took traffic", bad is not None, ""),
        Expectation(
            "the proxy went back by itself, before the undo",
            ahead is not None and ahead > 0,
            f"{ahead:.1f} s before it" if ahead is not None and ahead > 0 else "it was not seen to",
        ),
        Expectation("the bad change was undone", third.report.outcome == "undone", third.outcome.reason),
        Expectation("the change serves as before", greeted_again, second.report.id),
    )


def _failure(failure: Failure) -> str:
    return f"{failure.kind}: {failure.outcome}, {failure.at:.1f} s after the load began"
