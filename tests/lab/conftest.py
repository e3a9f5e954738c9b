"""Real hosts and servers for the lab's tests, and the rule that a lab that can't run is never silent.

Fixtures are plain functions that run their coroutines to the end, so that they are free of any test's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portside.lab.hosts import running_labs, start_hosts, stop_hosts
from portside.lab.values import Lab
from tests.lab.bw import ensure_bw
from tests.lab.faults import repair_all
from tests.lab.notrun import NO_IMAGE, NOT_RUN
from tests.lab.plain import start_plain
from tests.lab.project import Project, new_project
from tests.lab.servers import (
    Postgres,
    Registry,
    create_database,
    drop_database,
    forget_images,
    start_postgres,
    start_registry,
)
from tests.lab.watched import Watched
from tests.lab.world import lived
from tests.stores.standing import Standing

HOSTS = 3
HERE = Path(__file__).parent
# The files that take minutes each.
LONGEST = {
    f"test_{name}" for name in ("crash", "demo", "faults", "judge", "release", "rollback", "self_healing", "traffic")
}


@pytest.fixture(scope="session")
def lab_name() -> str:
    """This process's own: tests may run in several at once. Labs of processes that were killed go first."""
    machine = re.sub(r"[^a-z0-9]", "", socket.gethostname().lower())[:12]
    for name in asyncio.run(running_labs()):
        found = re.fullmatch(rf"test-{machine}-(\d+)(-\w+)?", name)
        if found and not Path(f"/proc/{found[1]}").exists():
            asyncio.run(stop_hosts(name))
    return f"test-{machine}-{os.getpid()}"


@pytest.fixture(scope="session")
def lab(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three hosts, shared by all tests of this process. What a test leaves on them is the next one's problem:
    ask for `clean_hosts` unless the test only looks."""
    state_dir = tmp_path_factory.mktemp("lab")
    try:
        yield asyncio.run(start_hosts(HOSTS, name=lab_name, state_dir=state_dir, say=print))
    finally:
        asyncio.run(stop_hosts(lab_name))


@pytest.fixture
def clean_hosts(lab: Lab) -> Lab:
    """The lab with every host up, connected, and without containers, networks, volumes and ~/.portside.

    Cleans before the test and not after it, so that the hosts can be looked at when it fails.
    """
    asyncio.run(repair_all(lab))
    return lab


@pytest.fixture(scope="session")
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry under one address for this machine and all hosts. It ends with the lab."""
    started = asyncio.run(start_registry(lab))
    yield started
    asyncio.run(forget_images(started))


@pytest.fixture(scope="session")
def postgres(lab_name: str) -> Iterator[Postgres]:
    """One PostgreSQL 17 server for all tests of this process."""
    name = f"{lab_name}-postgres"
    try:
        yield asyncio.run(start_postgres(name))
    finally:
        asyncio.run(stop_hosts(name))


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A new, empty database."""
    database = f"test_{secrets.token_hex(4)}"
    asyncio.run(create_database(postgres, database))
    yield postgres.url(database)
    asyncio.run(drop_database(postgres, database))


@pytest.fixture(scope="module")
def watched(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """What Prometheus knows after two releases of the service have lived under load: a minute, and it all goes on
    until the module's tests are done."""
    database = f"watched_{secrets.token_hex(4)}"
    asyncio.run(create_database(postgres, database))
    with lived(tmp_path_factory.mktemp("watched"), postgres, postgres.url(database)) as seen:
        yield seen
    asyncio.run(drop_database(postgres, database))


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Every place that secrets come from over a network or a program, each started by the first test that wants it."""
    with contextlib.ExitStack() as stack:
        yield Standing(tmp_path_factory.mktemp("stores"), stack, lambda: asyncio.run(ensure_bw()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Of two processes, neither is to have ten minutes left when the other one has ended.
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    obstacle = _obstacle() if ours else ""
    for item in ours:
        if obstacle:
            item.add_marker(pytest.mark.skip(reason=f"{NOT_RUN}{obstacle}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = _not_run(terminalreporter)
    if reasons:
        terminalreporter.section("LAB TESTS NOT RUN", red=True, bold=True)
        for reason in sorted(set(reasons)):
            terminalreporter.line(f"{reasons.count(reason)} tests {reason}", red=True)
        if _ci() and _avoidable(reasons):
            terminalreporter.line("CI is set: not run counts as failed", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI, not run is failed. Workers have no terminal: their reports reach the process that has."""
    reporter: pytest.TerminalReporter | None = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and _avoidable(_not_run(reporter)) and _ci():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _not_run(reporter: pytest.TerminalReporter) -> list[str]:
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in reporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    ]
    return [reason for reason in reasons if reason.startswith(NOT_RUN)]


def _avoidable(reasons: list[str]) -> list[str]:
    return [reason for reason in reasons if not reason.startswith(NO_IMAGE)]


def _ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


def _obstacle() -> str:
    """Why lab tests can't run on this machine; empty when they can."""
    missing = [program for program in ("docker", "ssh", "ssh-keygen") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return "the Docker Engine does not answer"
    return "" if asked.returncode == 0 else asked.stderr.decode(errors="replace").strip().splitlines()[-1]


@pytest.fixture(scope="module")
def plain(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose only host is a fresh machine. A file's tests go through its life in order."""
    name = f"{lab_name}-plain"
    try:
        lab = asyncio.run(start_plain(name, tmp_path_factory.mktemp("plain")))
        project = new_project(tmp_path_factory.mktemp("project"), lab, lab.hosts, {})
        project.environment["harden"] = True
        yield project
    finally:
        asyncio.run(stop_hosts(name))


@pytest.fixture(scope="session")
def tiny_images() -> dict[str, str]:
    """The tiny service's images by version, each built by the first test that wants it."""
    return {}


@pytest.fixture
def replicas() -> int:
    """How many web containers the tiny service has on a host. A module that needs more says so."""
    return 1


def tiny_project(root: Path, lab: Lab, hosts: int, images: dict[str, str], replicas: int) -> Project:
    """A project that ships the tiny service to the first `hosts` hosts, which are clean."""
    chosen = lab.hosts[:hosts]
    asyncio.run(repair_all(lab, chosen))
    project = new_project(root, lab, chosen, images)
    project.environment["replicas"] = {"web": replicas}
    return project


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path, tiny_images: dict[str, str], replicas: int) -> Project:
    """A project that ships the tiny service to all hosts."""
    return tiny_project(tmp_path, lab, HOSTS, tiny_images, replicas)


@pytest.fixture
def pair(lab: Lab, tmp_path: Path, tiny_images: dict[str, str], replicas: int) -> Project:
    """A project that ships the tiny service to two hosts: enough where it is about one of them and the others."""
    return tiny_project(tmp_path, lab, 2, tiny_images, replicas)


@pytest.fixture
def project(lab: Lab, tmp_path: Path, tiny_images: dict[str, str], replicas: int) -> Project:
    """A project that ships the tiny service to one host."""
    return tiny_project(tmp_path, lab, 1, tiny_images, replicas)
