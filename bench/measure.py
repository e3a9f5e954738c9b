"""The measurements. Pairs are interleaved round by round."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bench.bare import Bare, settled
from bench.project import TAGS, build_tags, remove_tags, write_project
from bench.typed import REPOSITORY, Typed, invoke, listing
from bench.values import Count, Figure, Results, Series, medians
from portside.config import Config
from portside.demo.variants import changed_tree
from portside.lab.hosts import start_hosts, stop_hosts
from portside.lab.values import Lab, write_environment
from portside.load import load_process
from portside.playground import environment_file, environment_settings, forget, forget_environment, state_dir
from portside.report import Reporter
from portside.shipping import build

NAME = "portside-bench"
ENV = "bench"
LISTINGS = 15
LOAD_RATE = 200.0


async def measure(config: Config, reporter: Reporter, *, rounds: int) -> Results:
    """Everything, on three lab hosts that are there for this only."""
    results = Results(rounds, machine())
    with tempfile.TemporaryDirectory(prefix="portside-bench-") as scratch:
        project = Path(scratch) / "project"
        await _list(results, Path(scratch))
        reporter.say("invoke --list is measured")
        await build_tags(config, reporter)
        async with _lab(config, reporter) as lab:
            write_project(project, config, lab)
            bare = Bare(lab)
            await _one_host(results, project, bare, rounds, reporter)
            await _under_load(results, project, bare, lab, reporter)
            await bare.down()
            await _real_service(
                results, config=config, bare=bare, lab=lab, scratch=Path(scratch), rounds=rounds, reporter=reporter
            )
            await bare.down()
            await _three_hosts(results, project, [Bare(lab, index) for index in range(3)], rounds, reporter)
            await _rollbacks(results, project, rounds, reporter)
    return results


def machine() -> str:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores, {system}, Engines nested in containers"


@contextlib.asynccontextmanager
async def _lab(config: Config, reporter: Reporter) -> AsyncIterator[Lab]:
    await stop_hosts(NAME)
    try:
        yield await start_hosts(3, name=NAME, state_dir=state_dir(config.root, NAME), say=reporter.say)
    finally:
        await stop_hosts(NAME)
        await remove_tags()
        forget(config.root, NAME, ENV)


async def _list(results: Results, scratch: Path) -> None:
    empty = scratch / "empty"
    empty.mkdir()
    (empty / "tasks.py").write_text("from invoke.collection import Collection\n\nns = Collection()\n")
    ours, theirs = [], []
    for _ in range(LISTINGS):
        theirs.append(await listing(empty))
        ours.append(await listing(REPOSITORY))
    results.figures.append(
        Figure("invoke --list", Series("invoke --list", tuple(ours)), Series("an empty collection", tuple(theirs)), 1.5)
    )


async def _one_host(results: Results, project: Path, bare: Bare, rounds: int, reporter: Reporter) -> None:
    """Deploys of two tags in turn, each next to the same done by bare Compose."""
    for name, tag in zip("ab", TAGS, strict=True):
        first = await invoke("deploy", "--env", "one", "--image", tag, project=project)
        await bare.adopt("bench-one", str(first.data["release"]), name)
        await bare.up(name)
    deploys: list[Typed] = []
    ups: list[float] = []
    for round_ in range(rounds):
        name, tag = "ab"[round_ % 2], TAGS[round_ % 2]
        await settled()
        ups.append(await bare.up(name))
        await settled()
        deploys.append(await invoke("deploy", "--env", "one", "--image", tag, project=project))
        reporter.say(f"one host: deploy {deploys[-1].seconds:.2f} s, bare Compose {ups[-1]:.2f} s")
    results.figures.append(
        Figure(
            "warm deploy, 1 host",
            Series("invoke deploy", tuple(each.seconds for each in deploys)),
            Series("ssh … docker compose up -d --wait", tuple(ups)),
            1.25,
        )
    )
    results.phases["deploy to 1 host"] = medians(each.phases for each in deploys)
    results.counts.append(Count("exchanges of a deploy, per host", deploys[-1].exchanges, 8))
    results.counts.append(Count("bytes sent by a deploy, per host", deploys[-1].bytes_sent))


async def _under_load(results: Results, project: Path, bare: Bare, lab: Lab, reporter: Reporter) -> None:
    """What either costs the service's users: requests that fail while it happens."""
    async with load_process(bare.address, paths=["/"], rate=LOAD_RATE, every=0.25) as load:
        await settled(1)
        for name in "ab":
            await bare.up(name)
        await settled(1)
    results.counts.append(Count(f"failed of {load.report.requests} requests, 2 × bare Compose", load.report.failed))
    async with load_process(f"http://{lab.hosts[0].address}", paths=["/"], rate=LOAD_RATE, every=0.25) as load:
        await settled(1)
        for tag in TAGS:
            await invoke("deploy", "--env", "one", "--image", tag, "--force", project=project)
        await settled(1)
    results.counts.append(Count(f"failed of {load.report.requests} requests, 2 × deploy", load.report.failed, 0))
    reporter.say("requests lost under load are counted")


async def _real_service(
    results: Results, *, config: Config, bare: Bare, lab: Lab, scratch: Path, rounds: int, reporter: Reporter
) -> None:
    """The repository's own service: two replicas, a worker, migrations before the switch, PostgreSQL beside it.

    Bare Compose gets the web service and the same database; it has no worker to replace, and runs no migrations.
    """
    references = []
    for tree in (config, changed_tree(config, scratch / "changed")):
        references.append((await build(tree, reporter)).reference)
    settings = environment_settings(config) | {
        "hosts": [lab.hosts[0].name],
        "accessory_hosts": [lab.hosts[0].name],
        "domain": "real.example.com",
        "bake": 0,
    }
    write_environment(lab, environment_file(config.root, ENV), ENV, settings)
    try:
        for name, reference in zip("ab", references, strict=True):
            first = await invoke("deploy", "--env", ENV, "--image", reference, project=config.root)
            await bare.adopt(f"{config.service.name}-{ENV}", str(first.data["release"]), name)
            await bare.up(name)
        deploys, ups = [], []
        for round_ in range(rounds):
            await settled()
            ups.append(await bare.up("ab"[round_ % 2]))
            await settled()
            reference = references[round_ % 2]
            deploys.append(await invoke("deploy", "--env", ENV, "--image", reference, project=config.root))
            reporter.say(f"the real service: deploy {deploys[-1].seconds:.2f} s, bare Compose {ups[-1]:.2f} s")
    finally:
        forget_environment(config.root, ENV)
    results.figures.append(
        Figure(
            "warm deploy of the real service, 1 host",
            Series("invoke deploy", tuple(each.seconds for each in deploys)),
            Series("ssh … docker compose up -d --wait", tuple(ups)),
        )
    )
    results.phases["deploy of the real service"] = medians(each.phases for each in deploys)
    results.counts.append(Count("exchanges of a deploy of the real service, per host", deploys[-1].exchanges))


async def _three_hosts(results: Results, project: Path, bares: Sequence[Bare], rounds: int, reporter: Reporter) -> None:
    """Three hosts share this machine's cores, so the same is done by three bare Composes at once."""
    for name, tag in zip("ab", TAGS, strict=True):
        first = await invoke("deploy", "--env", "three", "--image", tag, project=project)
        for bare in bares:
            await bare.adopt("bench-three", str(first.data["release"]), name)
            await bare.up(name)
    deploys, backs, ups = [], [], []
    for round_ in range(rounds):
        await settled()
        backs.append(await invoke("rollback", "--env", "three", project=project))
        await settled()
        ups.append(max(await asyncio.gather(*(bare.up("ab"[round_ % 2]) for bare in bares))))
        await settled()
        deploys.append(await invoke("deploy", "--env", "three", "--image", TAGS[1], project=project))
        reporter.say(
            f"three hosts: deploy {deploys[-1].seconds:.2f} s, bare Compose on all at once {ups[-1]:.2f} s, "
            f"rollback {backs[-1].seconds:.2f} s"
        )
    for bare in bares:
        await bare.down()
    results.figures.append(
        Figure(
            "warm deploy, 3 hosts",
            Series("invoke deploy", tuple(each.seconds for each in deploys)),
            Series("ssh … docker compose up -d --wait on all at once", tuple(ups)),
        )
    )
    # A quarter of the 6.0 s of Kamal 2.11.
    results.figures.append(
        Figure("the same, in seconds", Series("invoke deploy", tuple(each.seconds for each in deploys)), aim=6.0 / 4)
    )
    results.figures.append(
        Figure("rollback, stopped, 3 hosts", Series("invoke rollback", tuple(each.seconds for each in backs)))
    )
    results.phases["deploy to 3 hosts"] = medians(each.phases for each in deploys)
    results.phases["rollback of 3 hosts"] = medians(each.phases for each in backs)


async def _rollbacks(results: Results, project: Path, rounds: int, reporter: Reporter) -> None:
    for tag in TAGS:
        await invoke("deploy", "--env", "warm", "--image", tag, project=project)
    backs = []
    for _ in range(rounds):
        await settled()
        backs.append(await invoke("rollback", "--env", "warm", project=project))
        reporter.say(f"three hosts, warm: rollback {backs[-1].seconds:.2f} s")
        await settled()
        await invoke("deploy", "--env", "warm", "--image", TAGS[1], project=project)
    # Below the second that was promised, and a tenth of the 4.6 s of Kamal 2.11.
    results.figures.append(
        Figure("rollback, warm, 3 hosts", Series("invoke rollback", tuple(each.seconds for each in backs)), aim=0.46)
    )
    results.phases["warm rollback of 3 hosts"] = medians(each.phases for each in backs)
    results.counts.append(Count("exchanges of a warm rollback, per host", backs[-1].exchanges, 8))
