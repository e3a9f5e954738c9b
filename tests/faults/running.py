"""One case, from its beginning to what it cost: load, a release held in a phase, the fault, the next command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from portside.lab.values import LabHost
from tests.faults.cases import Case
from tests.faults.ground import Ground, Standing
from tests.faults.promises import Facts, HostFacts, broken, unsettled
from tests.faults.scene import Scene, ended, on_host
from tests.faults.table import FAULTS
from tests.faults.traffic import Count, HostTraffic, added
from tests.lab.faults import as_root
from tests.lab.project import Finished

FLOWING_SECONDS = 60.0
BACK_SECONDS = 90.0
FREE_SECONDS = 40.0
SETTLED_SECONDS = 45.0
ANSWERS = 4
UNEXPECTED = 70


@dataclass(frozen=True)
class Result:
    """How a case went. `broken`: promises that weren't kept; `recovered`: what the next command said it did."""

    case: Case
    outcome: str
    code: int
    recovered: str
    counts: Mapping[str, Count]
    seconds: float
    broken: tuple[str, ...]


async def run_case(ground: Ground, case: Case) -> Result:
    """Whatever goes wrong with the case itself is a broken promise as well: nothing hides behind an error."""
    began = time.monotonic()
    try:
        return await _run(ground, case, began)
    except Exception as error:
        return Result(case, "?", -1, "", {}, time.monotonic() - began, (f"{type(error).__name__}: {error}",))


async def _run(ground: Ground, case: Case, began: float) -> Result:
    fault = FAULTS[case.fault]
    standing = await ground.stand(case.hosts)
    project = ground.project
    # The first host runs the hook, and is asked for its lock before the others.
    victim = project.hosts[0 if case.moment.phase in ("before-switch", "lock") else -1]
    command = await asyncio.to_thread(ground.command, pulls=fault.pulls)
    traffic = {host.name: HostTraffic(project.url(host)) for host in project.hosts}
    told = len(ground.inbox.came)
    async with contextlib.AsyncExitStack() as stack:
        for each in traffic.values():
            await each.begin()
            stack.push_async_callback(each.end)
        for each in traffic.values():
            await each.flows(FLOWING_SECONDS)
        async with ground.holding(victim, case.moment):
            deployer = await asyncio.to_thread(project.start, *command)
            slot = next(iter(standing.values())).slot
            scene = Scene(
                case,
                project,
                victim,
                "green" if slot == "blue" else "blue",
                command,
                ground.registry_container,
                deployer,
            )
            try:
                await ground.reached(victim, case.moment, told, deployer)
                if fault.costs == "host":
                    traffic[victim.name].goes()
                await fault.inject(scene)
                await ground.go_on(victim)
                finished = await ended(deployer)
                others = [await ended(each) for each in scene.others]
            finally:
                for process in (deployer, *scene.others):
                    if process.poll() is None:
                        process.kill()
                        await ended(process)
                if fault.heal:
                    await fault.heal(scene)
        await scene.up()
        free = await _until_free(ground)
        status = await asyncio.to_thread(project.invoke, "status", "--env", "lab", "--json", code=None)
        if fault.costs == "host":
            await _until_answers(project.url(victim))
            await traffic[victim.name].is_back()
        hosts = await _settled(ground, standing)
    again = await asyncio.to_thread(project.invoke, "status", "--env", "lab", "--json", code=None)
    counts = added([each.counts(fault.costs) for each in traffic.values()])
    facts = Facts(
        before=next(iter(standing.values())).release,
        expected=fault.expected(case.moment),
        hosts=hosts,
        counts=counts,
        failures=tuple(text for each in traffic.values() for text in each.failures()),
        said=tuple(each.all for each in (finished, status, again, *others)),
        canary=ground.canary,
        recovered_again=again.data["recovered"] if again.code == 0 else again.all,
    )
    problems = [*free, *_commands(finished, status, others), *broken(facts)]
    if problems:
        problems.append(f"the deployer ended with {finished.code}: {finished.all[-3000:]}")
    serving = {host.current for host in hosts.values()}
    outcome = "undone" if serving == {facts.before} else "finished"
    recovered = status.data["recovered"] if status.code == 0 else ""
    return Result(case, outcome, finished.code, recovered, counts, time.monotonic() - began, tuple(problems))


def _commands(finished: Finished, status: Finished, others: list[Finished]) -> list[str]:
    found = [
        f"a command ended with a mistake of its own: {each.all[-2000:]}"
        for each in (finished, status, *others)
        if each.code == UNEXPECTED or "Traceback" in each.all
    ]
    return found + ([f"the next command failed: {status.all[-2000:]}"] if status.code != 0 else [])


async def _until_free(ground: Ground) -> list[str]:
    """A dead deployer's lock ends by itself: with its connection, or when its lease runs out."""
    until = time.monotonic() + FREE_SECONDS
    held = [host.name for host in ground.project.hosts]
    while held and time.monotonic() < until:
        locks = [await _locked(ground, host) for host in ground.project.hosts]
        held = [host.name for host, locked in zip(ground.project.hosts, locks, strict=True) if locked]
        await asyncio.sleep(0.5)
    return [f"3: still locked {FREE_SECONDS:g} s after its deployer was over: {held}"] if held else []


async def _locked(ground: Ground, host: LabHost) -> bool:
    folder = ground.project.site("lock")
    look = f"cat {folder}/holder.json {folder}/expires && date +%s"
    said = await as_root(host, ["bash", "-c", look])
    if said.exit_code != 0:
        return False
    expires, now = said.text.splitlines()[-2:]
    return int(expires) > int(now)


async def _until_answers(url: str) -> None:
    """Several in a row: the proxy, and behind it all that it may choose from."""
    until = time.monotonic() + BACK_SECONDS
    well = 0
    async with httpx.AsyncClient(timeout=10) as client:
        while well < 3 * ANSWERS:
            with contextlib.suppress(httpx.TransportError):
                well = well + 1 if (await client.get(url)).is_success else 0
            if time.monotonic() > until:
                raise AssertionError(f"{url} does not answer {BACK_SECONDS:g} s after all was mended")
            await asyncio.sleep(0.05)


async def _settled(ground: Ground, standing: Mapping[str, Standing]) -> dict[str, HostFacts]:
    """The facts as soon as invariant 1 holds; as they are when it doesn't in time."""
    until = time.monotonic() + SETTLED_SECONDS
    while True:
        gathered = await asyncio.gather(*(_facts(ground, host, standing[host.name]) for host in ground.project.hosts))
        found = {host.name: each for host, each in zip(ground.project.hosts, gathered, strict=True)}
        if not unsettled(found) or time.monotonic() > until:
            return found
        await asyncio.sleep(1)


async def _facts(ground: Ground, host: LabHost, before: Standing) -> HostFacts:
    project = ground.project
    site, shared = project.site(""), "/home/deploy/.portside"

    async def read(*argv: str) -> str:
        return (await as_root(host, list(argv))).check().text

    # `docker ps` goes on listing as running what has ended while the Engine had no room to write that down.
    form = '{{.State.Running}} {{slice .Name 1}} {{index .Config.Labels "dev.portside.release"}}'
    listing = (
        "docker ps --all --quiet --filter label=dev.portside.site=tiny-lab | xargs --no-run-if-empty docker inspect"
    )
    known = (await read("bash", "-ec", f'{listing} --format "$0"', form)).splitlines()
    running = [line.removeprefix("true ") for line in known if line.startswith("true ")]
    current = json.loads(await read("cat", f"{site}current.json"))
    (watched,) = json.loads(await read("cat", f"{shared}/targets/tiny-lab.json"))
    journal = (await read("cat", f"{site}journal.jsonl")).splitlines()
    return HostFacts(
        answers=frozenset([await _answered(project.url(host)) for _ in range(ANSWERS)]),
        current=current["release"],
        operation=current["operation"],
        moved=current["slot"] != before.slot,
        route=await read("cat", f"{shared}/proxy/routes/tiny-lab/route"),
        running=tuple(sorted((name, release) for name, _, release in (line.partition(" ") for line in running))),
        watched=watched["labels"]["release"],
        locked=await _locked(ground, host),
        journal=tuple(journal[before.lines :]),
        leaks=await on_host(host, "secrets", ground.canary),
    )


async def _answered(url: str) -> str:
    async with httpx.AsyncClient(timeout=20) as client:
        try:
            answer = await client.get(url)
            return str(answer.json()["release"]) if answer.is_success else f"status {answer.status_code}"
        except (httpx.TransportError, ValueError) as error:
            return f"nothing ({type(error).__name__})"
