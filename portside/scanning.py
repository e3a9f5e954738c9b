"""The command that scans: an image that is here, the one that would be built, or all that runs on the hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portside.cli import Terminal, project, run
from portside.config import FILE, Config, Environment
from portside.engine import ensure_engine
from portside.errors import ConfigError, PortsideError, ScanError
from portside.fleet import connected, read_states
from portside.host.base import Host
from portside.release import Image
from portside.scan.base import Scanner, Subject
from portside.scan.examine import CACHE, examine, scanners
from portside.scan.findings import Record
from portside.scan.gate import bind
from portside.scan.policy import Verdict
from portside.scan.show import report_data, report_text
from portside.scan.store import FOLDER, Store
from portside.scan.subject import saved_here, saved_there, scratch
from portside.shipping import build

SHOWN = 10


def scan_command(env: str, *, image: str | None, running: bool, db: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        environment = config.environment(env)
        if running and image is not None:
            raise ConfigError("it goes without --image", where="--running", remedy="Leave out one of the two.")
        takers = scanners(config, database=Path(db) if db else None)
        if running:
            outcomes = await _scan_running(config, environment, takers, terminal)
        else:
            outcomes = [await _scan_here(config, environment, image, takers, terminal)]
        _finish(config, environment, outcomes, terminal)

    run(act, machine=machine, failed=_outcome)


Outcome = tuple[Record, Verdict]


async def _scan_here(
    config: Config, environment: Environment, image: str | None, takers: Sequence[Scanner], terminal: Terminal
) -> Outcome:
    await ensure_engine(terminal.reporter.say)
    reference = image or (await build(config, terminal.reporter, environment.platform)).reference
    async with scratch(config.root / CACHE) as folder:
        subject = await saved_here(reference, folder)
        return await _scanned(config, environment, subject, takers=takers, folder=folder, terminal=terminal)


async def _scan_running(
    config: Config, environment: Environment, takers: Sequence[Scanner], terminal: Terminal
) -> list[Outcome]:
    """Each image that serves on any host, once, in the bytes that are there."""
    outcomes = []
    async with connected(environment) as hosts:
        states = await read_states(hosts, config.site(environment), full=False)
        serving: dict[str, tuple[Host, Image]] = {}
        for host in hosts:
            state = states[host.name]
            if state.current is not None and state.current.release in state.releases:
                image = state.releases[state.current.release].image
                serving.setdefault(f"{image.reference} {image.id}", (host, image))
        if not serving:
            raise ConfigError(
                "nothing has been released here yet",
                where=environment.name,
                remedy=f"Type: invoke deploy --env {environment.name}",
            )
        for host, image in serving.values():
            async with scratch(config.root / CACHE) as folder:
                deadline = environment.transfer_deadline
                subject = await saved_there(host, image, folder, timeout=deadline)
                outcomes.append(
                    await _scanned(config, environment, subject, takers=takers, folder=folder, terminal=terminal)
                )
    return outcomes


async def _scanned(
    config: Config,
    environment: Environment,
    subject: Subject,
    *,
    takers: Sequence[Scanner],
    folder: Path,
    terminal: Terminal,
) -> Outcome:
    terminal.reporter.say(f"scanning {subject.reference} with {' and '.join(taker.name for taker in takers)}")
    record, verdict = await examine(config, subject, takers, folder)
    for published in record.published:
        if published.startswith(f"{environment.registry}@"):
            image = Image(reference=published, id=record.digests[0])
            await bind(config, image, published, terminal.reporter.say)
    return record, verdict


def _finish(config: Config, environment: Environment, outcomes: list[Outcome], terminal: Terminal) -> None:
    """Print all outcomes; raise ScanError, with them for machines, when one of the images failed."""
    folders = [str(FOLDER / Store(config.root).folder(record.digests[0]).name) for record, _ in outcomes]
    data = {
        "env": environment.name,
        "images": [
            report_data(record, verdict, folder) for (record, verdict), folder in zip(outcomes, folders, strict=True)
        ],
    }
    text = "\n".join(
        f"{report_text(record, verdict)}  reports: {folder}"
        for (record, verdict), folder in zip(outcomes, folders, strict=True)
    )
    failed = [(record, verdict) for record, verdict in outcomes if not verdict.passed]
    if not failed:
        terminal.result(data, text)
        return
    if not terminal.machine:
        terminal.result(data, text)
    reasons = [reason for _, verdict in failed for reason in dict.fromkeys(verdict.reasons)]
    more = [f"and {len(reasons) - SHOWN} more, see above"] if len(reasons) > SHOWN else []
    error = ScanError(
        "the image failed its scan" if len(failed) == 1 else f"{len(failed)} images failed their scan",
        where=", ".join(record.image for record, _ in failed),
        why="\n".join([*reasons[:SHOWN], *more]),
        remedy="Update what is named, build and scan again; or accept it for a while, with a reason and a date, as "
        f"[[scan.ignore]] in {FILE}: docs/scanning.md",
    )
    error.outcome = data
    raise error


def _outcome(error: PortsideError) -> dict[str, Any]:
    return error.outcome if isinstance(error.outcome, dict) else {}
