"""The judge on real hosts: it undoes what is worse, keeps what isn't, and says when it can't tell."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from portside.config import Config
from portside.errors import ReleaseError
from portside.host.local import LocalHost
from portside.judge import promql
from portside.judge.watching import Watching
from portside.lab.values import Lab
from portside.load import Kind, Load
from portside.steps import Target
from portside.tools import ensure_tool
from tests.lab.project import Finished, Project, new_project, wait_until
from tests.lab.world import PROMETHEUS
from tests.unit import builders

pytestmark = pytest.mark.judge

READS = Kind(name="read", weight=1, method="GET", path=lambda: "/", accepted=frozenset({200}))
RATE = 80


async def deploy(project: Project, image: str, **environment: Any) -> Finished:
    """To its end, in a thread; what `environment` says is the new release's."""
    project.environment["env"] = environment
    process = project.start("deploy", "--env", "lab", "--json", "--image", image)
    out, err = await asyncio.to_thread(process.communicate, timeout=120)
    return Finished(process.returncode, out, err)


async def failing_seconds(load: Load, until: asyncio.Task[Finished]) -> float:
    """From the first failed request to the last, in seconds."""
    first = last = 0.0
    seen = 0
    while not until.done():
        failed = load.report.failed
        if failed > seen:
            first, last, seen = first or time.monotonic(), time.monotonic(), failed
        await asyncio.sleep(0.02)
    return last - first


async def test_a_release_that_answers_only_500_is_undone_long_before_its_bake_is_over(
    clean_hosts: Lab, tmp_path: Path, tiny_images: dict[str, str]
) -> None:
    """On two hosts, with traffic to one: the other goes back as well. How soon is measured in docs/judge.md."""
    project = new_project(tmp_path, clean_hosts, clean_hosts.hosts[:2], tiny_images)
    one, two = [await asyncio.to_thread(project.image, version) for version in ("1", "2")]
    first = (await deploy(project, one)).data["release"]
    project.environment["bake"] = 40
    async with Load(project.url(), [READS], connections=4, rate=RATE) as load:
        while load.report.requests < 4 * RATE:
            await asyncio.sleep(0.1)
        deploying = asyncio.create_task(deploy(project, two, FAILS="1"))
        failing = await failing_seconds(load, deploying)
        failed = await deploying
    assert failed.code == 7, failed.all
    assert "5xx ratio 100 %" in failed.data["why"] and "against 0 % before" in failed.data["why"]
    assert "nothing works today" in failed.data["why"], "its logs are gone with it"
    assert failing < project.environment["bake"] / 2
    for host in project.hosts:
        answer = await asyncio.to_thread(httpx.get, project.url(host))
        assert answer.json()["release"] == first
    history = await asyncio.to_thread(project.invoke, "history", "--env", "lab", "--json")
    assert "5xx ratio" in str(history.data["history"])


async def test_slower_is_undone_and_no_request_is_lost(project: Project) -> None:
    one, two = [await asyncio.to_thread(project.image, version) for version in ("1", "2")]
    first = (await deploy(project, one)).data["release"]
    async with Load(project.url(), [READS], connections=16, rate=RATE) as load:
        while load.report.requests < 4 * RATE:
            await asyncio.sleep(0.1)
        project.environment["bake"] = 40
        slow = await deploy(project, two, SLOW="0.3")
        assert slow.code == 7, slow.all
        assert "p50" in slow.data["why"] or "p99" in slow.data["why"]
        assert slow.data["previous"] == first
    assert load.report.failed == 0


async def test_without_traffic_it_abstains_out_loud_and_keeps_the_release(project: Project) -> None:
    one, two = [await asyncio.to_thread(project.image, version) for version in ("1", "2")]
    await deploy(project, one)
    project.environment["bake"] = 8
    quiet = await deploy(project, two, FAILS="1")
    assert quiet.code == 0, quiet.all
    assert "abstains on 5xx: 0 requests, a verdict needs 20" in " ".join(quiet.data["notes"])


async def test_as_good_is_kept_and_committed_before_the_bake_is_over(project: Project) -> None:
    one, two = [await asyncio.to_thread(project.image, version) for version in ("1", "2")]
    await deploy(project, one)
    project.environment["bake"] = 60
    project.judge = {"early": True}
    async with Load(project.url(), [READS], connections=8, rate=4 * RATE) as load:
        while load.report.requests < 4 * RATE:
            await asyncio.sleep(0.1)
        good = await deploy(project, two)
    assert good.code == 0, good.all
    assert 10 <= good.data["seconds"]["bake"] < 60
    notes = " ".join(good.data["notes"])
    assert "judged by" in notes and "which is enough" in notes and "no worse; 5xx 0 % (before 0 %)" in notes
    assert load.report.failed == 0
    journal = await asyncio.to_thread(project.shell, project.hosts[0], "cat", project.site("journal.jsonl"))
    assert [line for line in journal.splitlines() if '"phase":"bake","event":"end"' in line], (
        "the bake ended, it wasn't cut"
    )


async def test_a_canary_gets_its_share_and_is_judged_beside_the_old_release(project: Project) -> None:
    """A good one goes on to all traffic; one that fails is undone having cost a few requests of many; one whose
    deployer died is undone by the next command."""
    one, two, three = [await asyncio.to_thread(project.image, version) for version in ("1", "2", "3")]
    project.environment |= {"canary": [20], "bake": 12}
    first = (await deploy(project, one)).data["release"]
    host = project.hosts[0]
    async with Load(project.url(), [READS], connections=8, rate=3 * RATE) as load:
        good = asyncio.create_task(deploy(project, two))
        route = project.site("").replace("/sites/tiny-lab/", "/proxy/routes/tiny-lab/route")
        await asyncio.to_thread(
            wait_until, lambda: project.shell(host, "cat", route) == "blue+green:20", what="the canary", seconds=60
        )
        async with httpx.AsyncClient() as client:
            answers = [(await client.get(project.url())).json()["release"] for _ in range(100)]
        still = await asyncio.to_thread(project.shell, host, "cat", route)
        released = (await good).data
        assert still == "blue+green:20", "all answers are of the canary's time"
        assert 5 <= sum(answer != first for answer in answers) <= 45, "20 %, but for chance"
        assert "canary of 20 %: judged by" in " ".join(released["notes"])
        assert load.report.failed == 0
        project.environment["bake"] = 20
        bad = await deploy(project, three, FAILS="1")
    assert bad.code == 7, bad.all
    assert "bake of a canary of 20 %: 5xx ratio 100 %" in bad.data["why"]
    assert load.report.failed < load.report.requests / 20
    killed = project.start("deploy", "--env", "lab", "--json", "--image", one)
    await asyncio.to_thread(
        wait_until, lambda: project.shell(host, "cat", route) == "green+blue:20", what="another canary", seconds=60
    )
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    status = await asyncio.to_thread(project.invoke, "status", "--env", "lab", "--json")
    assert "undone" in status.all
    assert await asyncio.to_thread(project.shell, host, "cat", route) == "green"
    answer = await asyncio.to_thread(httpx.get, project.url())
    assert answer.json()["release"] == released["release"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real one that knows nothing but how to evaluate; where it listens."""
    program = asyncio.run(ensure_tool(PROMETHEUS, print))
    home = tmp_path_factory.mktemp("prometheus")
    (home / "prometheus.yml").write_text("{}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    argv = [program, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/tsdb"]
    process = subprocess.Popen([*argv, f"--web.listen-address={listen}"], stderr=subprocess.DEVNULL)

    def ready() -> bool:
        try:
            return httpx.get(f"http://{listen}/-/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, what="Prometheus to be ready")
        yield listen
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries are asked at once and often: nothing is scraped here that they would have to wait for."""
    monkeypatch.setattr(promql, "FIRST_AFTER", 0.1)
    monkeypatch.setattr(promql, "ASK_EVERY", 0.2)


def watching(prometheus: str, notes: list[str], **queries: str) -> Watching:
    """The judge of a release to this machine, which has no container of it: only the queries say anything."""
    made = builders.config(hosts=[])
    config = Config.model_validate(
        made.model_dump() | {"observe": {"prometheus": prometheus}, "judge": {"prometheus": queries}}
    )
    target = Target(LocalHost(), "links-prod", "1", builders.state(), builders.operation())
    return Watching(config, config.environment("prod"), builders.release(), [target], notes.append)


@pytest.mark.usefixtures("soon")
async def test_a_query_of_the_project_s_own_that_answers_twice_undoes(prometheus: str) -> None:
    notes: list[str] = []
    judge = watching(
        prometheus, notes, fine="vector(1) > 2", queue='label_replace(vector(7), "env", "$env", "", "") > 3'
    )
    try:
        with pytest.raises(ReleaseError) as caught:
            await judge.judged(20)
    finally:
        await judge.end()
    assert "the query queue of judge.prometheus answered 7 for env=prod, " in caught.value.what


@pytest.mark.usefixtures("soon")
async def test_queries_that_make_no_sense_are_said_and_undo_nothing(prometheus: str) -> None:
    notes: list[str] = []
    judge = watching(prometheus, notes, wrong="not a query(", number="scalar(vector(1))", quiet="vector(1) > 2")
    try:
        await judge.judged(2)
    finally:
        await judge.end()
    said = "\n".join(notes)
    assert "the query wrong of judge.prometheus failed: " in said and "answered 400" in said
    assert "it answers a scalar; compare with something" in said
    assert "abstains on the query wrong: answered 0 times" in said
    assert "the query quiet" not in said


@pytest.mark.usefixtures("soon")
async def test_a_prometheus_that_is_not_there_is_said(prometheus: str) -> None:
    notes: list[str] = []
    judge = watching("127.0.0.1:1", notes, queue="up == 0")
    try:
        await judge.judged(1)
    finally:
        await judge.end()
    assert [
        note for note in notes if "the query queue of judge.prometheus failed: nothing answers at 127.0.0.1:1" in note
    ]
