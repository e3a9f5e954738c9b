"""No request fails because of a release: counted, with POSTs, on connections that are kept alive and never retried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import httpx
import pytest

from portside.lab.values import Lab
from portside.load import Kind, Load, Report, load_process
from tests.lab.project import Finished, Project, wait_until
from tests.lab.services import links_project

READS = Kind(name="read", weight=3, method="GET", path=lambda: "/", accepted=frozenset({200}))
WRITES = Kind(
    name="write", weight=1, method="POST", path=lambda: "/echo", accepted=frozenset({200}), body=lambda: b"x" * 200
)
ENOUGH = 10_000
# A proxy that is told of another port hangs up on who is about to ask (docs/decisions/0001-slots.md). One that asks
# where nobody listens answers with a status.
LOST_BY_A_RELOAD = ("connection closed without an answer", "Connection reset by peer")
# As fast as a host can: mv is what a switch does. Half a minute at most: a busy one may take longer than it is given.
SWITCHES = """
set -e
cd /home/deploy/.portside/proxy/routes/tiny-lab
before=$(cat route)
n=0
while [ $n -lt 2000 ] && [ $SECONDS -lt 30 ]; do
  n=$((n + 1))
  for slot in blue green; do printf %s "$slot" >next && mv -f next route; done
done
printf %s "$before" >next && mv -f next route
echo "$n"
"""


@pytest.fixture
def replicas() -> int:
    return 2


@contextlib.asynccontextmanager
async def loaded(
    project: Project, kinds: Sequence[Kind], *, rate: float = 400
) -> AsyncIterator[Callable[[], list[Report]]]:
    """Traffic to every host of the project while the block runs; its reports so far."""
    async with contextlib.AsyncExitStack() as stack:
        loads = [
            await stack.enter_async_context(Load(project.url(host), list(kinds), connections=4, rate=rate))
            for host in project.hosts
        ]
        yield lambda: [load.report for load in loads]


async def command(project: Project, *arguments: str) -> Finished:
    process = project.start(*arguments)
    out, err = await asyncio.to_thread(process.communicate, timeout=300)
    return Finished(process.returncode, out, err)


async def serving(project: Project) -> str:
    async with httpx.AsyncClient() as client:
        release: str = (await client.get(project.url())).json()["release"]
    return release


def total(reports: Sequence[Report]) -> int:
    return sum(report.requests for report in reports)


def failures(reports: Sequence[Report]) -> list[str]:
    return [str(failure) for report in reports for failure in report.failures]


async def test_deploys_rollbacks_and_failed_releases_drop_no_request(fleet: Project) -> None:
    one, two = fleet.image(), fleet.image("2")
    first = fleet.deploy(image=one).data["release"]
    async with loaded(fleet, [READS, WRITES]) as reports:
        assert (await command(fleet, "deploy", "--env", "lab", "--image", two)).code == 0
        assert (await command(fleet, "rollback", "--env", "lab")).code == 0
        fleet.environment["env"] = {"READY": "never"}
        fleet.environment["start_deadline"] = 2
        assert (await command(fleet, "deploy", "--env", "lab", "--image", two)).code == 7
        fleet.environment["env"] = {"GREETING": "again"}
        fleet.environment["start_deadline"] = 20
        assert (await command(fleet, "deploy", "--env", "lab", "--image", one)).code == 0
        while total(reports()) < ENOUGH:
            await asyncio.sleep(0.2)
    assert failures(reports()) == []
    writes = sum(report.kinds["write"].requests for report in reports())
    assert writes > 1000
    history = fleet.invoke("history", "--env", "lab", "--json").data["history"]
    assert history[-1]["release"] == first


async def test_a_switch_at_any_moment_of_a_request_fails_none(project: Project) -> None:
    """Thousands of switches there and back between two releases that both run, where a release has one."""
    host = project.hosts[0]
    project.environment["keep_warm"] = True
    for image in (project.image(), project.image("2")):
        await asyncio.to_thread(project.deploy, image=image)
    async with loaded(project, [READS, WRITES], rate=4000) as reports:
        rounds = await asyncio.to_thread(project.shell, host, "bash", "-c", SWITCHES)
    assert int(rounds) > 100
    assert failures(reports()) == []


async def test_a_release_that_dies_under_load_costs_no_read(project: Project) -> None:
    """It takes traffic, then all of it ends at once: the proxy goes back by itself, then the deployer undoes."""
    one, two = project.image(), project.image("2")
    project.deploy(image=one)
    project.environment["env"] = {"EXIT_AFTER": "2"}
    project.environment["bake"] = 20
    async with loaded(project, [READS]) as reports:
        failed = await command(project, "deploy", "--env", "lab", "--json", "--image", two)
        await asyncio.sleep(1)
    assert failed.code == 7
    assert "the stars are right" in failed.out
    assert failures(reports()) == []


async def test_a_release_that_listens_elsewhere_is_switched_to_undone_and_rolled_back_from(project: Project) -> None:
    """The proxy has to find the old one at its own port and readiness until the switch, and after an undo."""
    one, two = project.image(), project.image("2")
    first = project.deploy(image=one).data["release"]
    project.service |= {"port": 9000, "readiness": "/ready"}
    project.environment |= {"bake": 15, "env": {"EXIT_AFTER": "1"}}
    async with loaded(project, [READS]) as reports:
        failed = await command(project, "deploy", "--env", "lab", "--json", "--image", two)
        assert failed.code == 7 and failed.data["seconds"]["bake"]
        assert await serving(project) == first
        project.environment |= {"bake": 0, "env": {}}
        second = await command(project, "deploy", "--env", "lab", "--json", "--image", two)
        assert await serving(project) == second.data["release"]
        assert (await command(project, "plan", "--env", "lab", "--image", two)).code == 0
        assert (await command(project, "rollback", "--env", "lab")).code == 0
        assert await serving(project) == first
        await asyncio.sleep(1)
    assert [failure for failure in failures(reports()) if not any(loss in failure for loss in LOST_BY_A_RELOAD)] == []


async def test_where_no_container_says_that_it_is_ready_and_nothing_stands_behind_they_are_asked_all_the_same(
    project: Project,
) -> None:
    await asyncio.to_thread(project.deploy)
    host = project.hosts[0]
    names = [name for name in await asyncio.to_thread(project.containers, host) if "-web-" in name]
    async with loaded(project, [READS, WRITES]) as reports:
        await asyncio.to_thread(project.shell, host, "docker", "kill", "--signal=HUP", *names)
        # The proxy believes it after a second.
        await asyncio.sleep(4)
    assert failures(reports()) == []


async def test_a_write_that_a_dying_release_was_at_is_never_repeated(project: Project) -> None:
    """Its sender gets an error and decides; a read at the same moment is answered by the release behind."""
    host = project.hosts[0]
    first = project.deploy().data["release"]
    project.environment["bake"] = 30
    deploying = project.start("deploy", "--env", "lab", "--json", "--image", project.image("2"))
    route = "/home/deploy/.portside/proxy/routes/tiny-lab/route"
    await asyncio.to_thread(
        wait_until, lambda: project.shell(host, "cat", route) == "green>blue", what="the switch", seconds=60
    )
    async with httpx.AsyncClient(timeout=30) as client:
        write, read = (
            asyncio.create_task(client.request(method, f"{project.url()}/slow/10")) for method in ("POST", "GET")
        )
        await asyncio.sleep(1)
        names = [name for name in await asyncio.to_thread(project.containers, host) if "green-web" in name]
        await asyncio.to_thread(project.shell, host, "docker", "kill", *names)
        assert (await write).status_code == 502
        answer = await read
        assert (answer.status_code, answer.json()["release"]) == (200, first)
        untouched = await client.post(project.url())
        assert untouched.json()["release"] == first, "nobody had seen this one yet"
    await asyncio.to_thread(deploying.communicate, timeout=60)
    assert deploying.returncode == 7


async def test_a_read_that_a_container_died_of_is_answered_by_another_one_though_it_stays_away(
    project: Project,
) -> None:
    """Nothing stands behind, and the one that is gone has fewest requests of all."""
    host = project.hosts[0]
    await asyncio.to_thread(project.deploy)
    gone = next(name for name in await asyncio.to_thread(project.containers, host) if "-web-" in name)
    await asyncio.to_thread(project.shell, host, "docker", "update", "--restart=no", gone)
    async with httpx.AsyncClient(timeout=30) as client:
        reads = [asyncio.create_task(client.get(f"{project.url()}/slow")) for _ in range(8)]
        await asyncio.sleep(1)
        await asyncio.to_thread(project.shell, host, "docker", "kill", gone)
        assert [answer.status_code for answer in await asyncio.gather(*reads)] == [200] * 8


async def test_slow_requests_are_finished_before_the_old_release_stops(project: Project) -> None:
    project.deploy()
    slow = Kind(name="slow", weight=1, method="GET", path=lambda: "/slow", accepted=frozenset({200}))
    two = project.image("2")
    async with loaded(project, [slow]) as reports:
        await asyncio.sleep(0.5)
        assert (await command(project, "deploy", "--env", "lab", "--image", two)).code == 0
    assert failures(reports()) == []
    assert total(reports()) >= 4


async def test_the_real_service_is_released_under_its_own_traffic(clean_hosts: Lab, tmp_path: Path) -> None:
    """The links service with PostgreSQL: migrations, redirects, new links, while the next release ships."""
    host = clean_hosts.hosts[0]
    links = links_project(tmp_path, clean_hosts)
    await asyncio.to_thread(links.invoke, "deploy", "--env", "lab", "--json")
    with (links.root / "app/main.py").open("a") as file:
        file.write("\n# the next version\n")
    async with load_process(links.url(host), connections=6, rate=200) as load:
        assert (await command(links, "deploy", "--env", "lab", "--json")).code == 0
        assert (await command(links, "rollback", "--env", "lab", "--json")).code == 0
        while load.report.requests < ENOUGH / 4:
            await asyncio.sleep(0.5)
    assert load.report.failed == 0, load.report.failures
    assert {kind for kind, seen in load.report.kinds.items() if seen.requests > 100} == set(load.report.kinds)
