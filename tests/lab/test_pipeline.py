"""The pipeline is run, not believed: the steps of release.yml, from the YAML itself, against a real registry and hosts.

Run by tests/runner, which says what it does in place of GitHub: checking out, keeping artifacts, installing uv.
The repository is this one with the tiny service in it, as a team has it. Staging is one host, production two.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from portside.lab.values import Lab, LabHost
from tests.lab.faults import as_root, repair_all
from tests.lab.inbox import Inbox
from tests.lab.project import REPOSITORY, TINY
from tests.lab.servers import Registry
from tests.runner.jobs import GitHub, Run, Runner
from tests.trivy_database import ADVISORIES, DEBIAN, Advisory, write_database

pytestmark = pytest.mark.pipeline

GIT = ("git", "-c", "user.name=A Developer", "-c", "user.email=dev@example.com")
SETTINGS = """
[service]
name = "tiny"

[scan]
db = "{database}"

[notify.team]
kind = "slack"
secret = "env:SLACK_RELEASES_URL"

[defaults]
registry = "{registry}/pipeline/tiny"
require_scan = true
confirm = true
http = "0.0.0.0:80"
bake = 1
start_deadline = 20

[env.staging]
hosts = ["deploy@{staging}"]
env = {{ GREETING = "hello" }}

[env.prod]
hosts = ["deploy@{first}", "deploy@{second}"]
{settings}
"""
RELEASED = 'env = { GREETING = "hello" }'
# CVE-2024-47874, HIGH, has a mended version: what the gate is for.
VULNERABLE = "starlette==0.36.3"
# Nobody knew of it when the image was released.
NEW = Advisory(DEBIAN, "python3.13", "CVE-2099-0001", "CRITICAL", "An advisory of tomorrow, made up", fixed="99.1-1")
# In place of GitHub's own program, which there is no GitHub for: it keeps what it was asked for.
GH = """#!/bin/sh
echo "$@" >> {folder}/asked
while [ $# -gt 0 ]; do [ "$1" = --body-file ] && cat "$2" >> {folder}/body; shift; done
"""


@dataclass
class Repository:
    """A team's repository, what GitHub knows of it, and where its releases go."""

    root: Path
    lab: Lab
    registry: Registry
    inbox: Inbox

    @property
    def staging(self) -> LabHost:
        return self.lab.hosts[0]

    @property
    def production(self) -> tuple[LabHost, ...]:
        return self.lab.hosts[1:]

    def merge(
        self,
        change: str,
        *,
        settings: str = RELEASED,
        files: Mapping[str, str] | None = None,
        smoke: str = "/readiness",
        sessions: tuple[str, ...] = (),
    ) -> Run:
        """Commit a change of the service and run release.yml, as a merge to main does.

        `settings` are production's; `smoke` is the path that is asked of staging; `sessions` are the gates to run.
        """
        service = f"{(TINY / 'service.py').read_text()}\n# {change}\n"
        self.commit(change, {"portside.toml": self.toml(settings), "service.py": service, **(files or {})})
        return self.run("release.yml", self.github(smoke=smoke, sessions=sessions))

    def run(self, workflow: str, github: GitHub | None = None) -> Run:
        runs = self.root.parent / "runs"
        run = Runner(self.root, runs / str(len(list(runs.glob("*")))), github or self.github()).run(workflow)
        print(run.log)
        return run

    def github(self, *, smoke: str = "/readiness", sessions: tuple[str, ...] = ()) -> GitHub:
        """Secrets and variables as docs/pipeline.md has them set."""
        secrets = {"SSH_KEY": self.lab.key.read_text(), "SLACK_RELEASES_URL": f"{self.inbox.address}/releases"}
        known = {"SSH_KNOWN_HOSTS": self.lab.known_hosts.read_text()}
        production = " ".join(f"http://{host.address}/readiness" for host in self.production)
        return GitHub(
            secrets={"staging": secrets, "prod": secrets, "prod-watch": {"SSH_KEY": secrets["SSH_KEY"]}},
            vars={
                "staging": {**known, "SMOKE_URLS": f"http://{self.staging.address}{smoke}"},
                "prod": {**known, "SMOKE_URLS": production},
                "prod-watch": known,
            },
            sessions=sessions,
            # One environment for all jobs, where GitHub's machines make one each: this machine is small.
            variables={
                "UV_PROJECT_ENVIRONMENT": str(self.root.parent / "venv"),
                "UV_PYTHON": sys.executable,
                "PATH": f"{self.root.parent}:{os.environ['PATH']}",
            },
        )

    def toml(self, settings: str) -> str:
        first, second = self.production
        return SETTINGS.format(
            database=self.root.parent / "advisories",
            registry=self.registry.address,
            staging=self.staging.address,
            first=first.address,
            second=second.address,
            settings=settings,
        )

    def commit(self, change: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", change)

    def revert(self) -> None:
        self.git("revert", "--no-edit", "HEAD")

    def git(self, *arguments: str) -> None:
        subprocess.run([*GIT, *arguments], cwd=self.root, check=True, capture_output=True, timeout=60)

    def serving(self, hosts: Sequence[LabHost]) -> set[str]:
        """The releases that these hosts serve."""
        return {str(httpx.get(f"http://{host.address}/", timeout=5).json()["release"]) for host in hosts}

    def images(self, hosts: Sequence[LabHost]) -> set[str]:
        """The images of the service's containers that run there."""
        inspect = "docker inspect --format '{{.Config.Image}}' $(docker ps --quiet --filter label=dev.portside.service)"
        asked = [asyncio.run(as_root(host, ["sh", "-c", inspect])).check() for host in hosts]
        return {image for answer in asked for image in answer.text.split()}

    def pushed(self) -> set[str]:
        tags = httpx.get(f"{self.registry.url}/v2/pipeline/tiny/tags/list", timeout=5).json()["tags"]
        return {tag for tag in tags if not tag.startswith("sha256-")}

    def told(self) -> list[str]:
        return [str(message["text"]) for message in self.inbox.at("/releases")]


@pytest.fixture(scope="module")
def repository(lab: Lab, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    asyncio.run(repair_all(lab))
    folder = tmp_path_factory.mktemp("pipeline")
    root = folder / "repository"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    (root / ".dockerignore").write_text("*\n!service.py\n!vendor\n")
    write_database(folder / "advisories")
    (folder / "runs").mkdir()
    (folder / "gh").write_text(GH.format(folder=folder))
    (folder / "gh").chmod(0o755)
    inbox = Inbox()
    try:
        made = Repository(root, lab, registry, inbox)
        made.git("init", "--quiet", "--initial-branch=main")
        yield made
    finally:
        inbox.close()


@pytest.fixture(scope="module")
def first(repository: Repository) -> Run:
    """The first release of all, which the others start from."""
    run = repository.merge("first")
    assert run.green, run.log
    return run


def test_a_merge_goes_to_staging_and_to_production_as_one_digest(repository: Repository, first: Run) -> None:
    assert first.results["prod / ship"] == "success"
    assert len(repository.pushed()) == 1
    (image,) = repository.images(repository.lab.hosts)
    assert image.startswith(f"{repository.registry.address}/pipeline/tiny@sha256:")
    assert f"Pushed `{image}`" in first.summary
    assert ["serves staging" in text for text in repository.told()] == [True, False]
    assert ["serves prod" in text for text in repository.told()] == [False, True]
    # What this runner leaves to GitHub, or to whoever runs these tests, is named.
    assert {name for name in first.not_run if "lab" in name or "lint" in name} == {
        "gates / gates (lint)",
        "gates / gates (lab)",
    }


def test_the_key_is_gone_after_a_job_and_no_secret_is_in_a_log(repository: Repository, first: Run) -> None:
    assert list((repository.root.parent / "runs").rglob("home/.ssh/known_hosts"))
    assert not list((repository.root.parent / "runs").rglob("home/.ssh/id_ed25519"))
    for secret in repository.github().secrets["prod"].values():
        assert not [line for line in secret.splitlines() if line in first.log + first.summary]


def test_what_fails_a_gate_is_not_built(repository: Repository, first: Run) -> None:
    run = repository.merge("unused", files={"app/unused.py": "import os\n"}, sessions=("lint",))
    repository.revert()
    assert run.results["gates / gates (lint)"] == "failure"
    assert "app/unused.py" in run.log
    assert [run.results[job] for job in ("build", "push", "staging", "prod")] == ["skipped"] * 4


def test_a_vulnerable_package_stops_at_the_scan_and_nothing_is_pushed(repository: Repository, first: Run) -> None:
    before = repository.pushed(), repository.serving(repository.lab.hosts)
    install = ["uv", "pip", "install", "--quiet", "--no-deps", f"--target={repository.root / 'vendor'}", VULNERABLE]
    subprocess.run(install, check=True, timeout=120)
    dockerfile = (TINY / "Dockerfile").read_text().replace("COPY service.py .", "COPY service.py vendor ./")
    run = repository.merge("vulnerable", files={"Dockerfile": dockerfile})
    repository.revert()
    assert run.outcomes("build")["Scan"] == "failure"
    assert "CVE-2024-47874" in run.summary
    assert "starlette" in run.summary
    assert [run.results[job] for job in ("push", "staging", "prod")] == ["skipped"] * 3
    assert (repository.pushed(), repository.serving(repository.lab.hosts)) == before


def test_a_release_that_fails_in_production_is_rolled_back_and_told_of(repository: Repository, first: Run) -> None:
    before = repository.serving(repository.production)
    run = repository.merge("mortal", settings='bake = 20\nenv = { EXIT_AFTER = "2" }')
    assert run.results["staging / ship"] == "success"
    assert run.outcomes("prod / ship")["Deploy"] == "failure"
    assert "[exit code 7]" in run.log
    assert "the stars are right" in run.log
    assert repository.serving(repository.production) == before
    assert "undone" in repository.told()[-1]


def test_red_staging_is_rolled_back_and_production_is_not_touched(repository: Repository, first: Run) -> None:
    before = repository.serving([repository.staging]), repository.serving(repository.production)
    # A path that the proxy answers with 404.
    run = repository.merge("smoking", smoke="/metrics")
    assert run.outcomes("staging / ship") | {"Smoke": "failure", "Roll back": "success"} == run.outcomes(
        "staging / ship"
    )
    assert run.results["prod"] == "skipped"
    assert (repository.serving([repository.staging]), repository.serving(repository.production)) == before
    assert "is back at" in repository.told()[-1]


def test_settings_that_production_does_not_have_become_an_issue(repository: Repository, first: Run) -> None:
    repository.commit("as released", {"portside.toml": repository.toml(RELEASED)})
    assert repository.run("drift.yml").results == {"plan": "success", "issue": "skipped"}
    repository.commit("never released", {"portside.toml": repository.toml('env = { GREETING = "a new one" }')})
    run = repository.run("drift.yml")
    assert run.results == {"plan": "success", "issue": "success"}, run.log
    assert "issue create --label drift" in (repository.root.parent / "asked").read_text()
    assert "env: GREETING changes" in (repository.root.parent / "body").read_text()


def test_what_is_known_only_since_today_becomes_an_issue(repository: Repository, first: Run) -> None:
    advisories = repository.root.parent / "advisories"
    write_database(advisories, (*ADVISORIES, NEW))
    try:
        run = repository.run("rescan.yml")
    finally:
        write_database(advisories)
    assert run.results == {"scan": "failure", "issue": "success"}, run.log
    assert "issue create --label rescan" in (repository.root.parent / "asked").read_text()
    assert "CVE-2099-0001" in (repository.root.parent / "body").read_text()
