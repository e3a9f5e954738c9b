"""Snyk behind the scanners' protocol.

Its service needs an account, so what stands in here for the program is a script that ends and writes as the real one
does: the report is in the shape that snyk 1.1100.0 wrote when its service was answered for on loopback.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from portside.config import Config, Scan
from portside.errors import ScanError
from portside.scan.base import Report, Subject
from portside.scan.examine import scanners
from portside.scan.snyk import Snyk
from tests.unit import builders

ISSUE = {
    "id": "SNYK-DEBIAN13-SUDO-10630283",
    "severity": "high",
    "title": "Inclusion of Functionality from Untrusted Control Sphere",
    "packageName": "sudo",
    "packageManager": "debian:13",
    "fixedIn": ["1.9.16p2-3"],
    "identifiers": {"CVE": ["CVE-2025-32463"], "CWE": ["CWE-829"]},
    "from": ["docker-image|image.tar@*", "sudo@1.9.16p2-2"],
    "name": "sudo",
    "version": "1.9.16p2-2",
    "nearestFixedInVersion": "1.9.16p2-3",
}
UNNAMED = {**ISSUE, "id": "SNYK-PYTHON-X-1", "identifiers": {"CVE": []}, "fixedIn": [], "nearestFixedInVersion": ""}
APPLICATION = {
    "vulnerabilities": [{**UNNAMED, "severity": "medium", "name": "x", "version": "1"}],
    "dependencyCount": 30,
    "packageManager": "pip",
    "displayTargetFile": "/opt/venv",
}
REPORT = {
    "vulnerabilities": [ISSUE],
    "ok": False,
    "dependencyCount": 23,
    "packageManager": "deb",
    "applications": [APPLICATION],
}


class StandIn:
    """A `snyk` in a folder of its own, and the variables under which it is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.environ = {"PATH": f"{self.folder}:{os.environ['PATH']}", "SNYK_TOKEN": "canary-token"}
        self.says(REPORT, code=1)

    def says(self, report: Any, *, code: int, error: str = "") -> None:
        (self.folder / "report.json").write_text(json.dumps(report))
        program = self.folder / "snyk"
        program.write_text(
            f'#!/bin/sh\necho "$@" >>{self.folder}/arguments\nenv >{self.folder}/environ\n'
            f'[ "$1" != --version ] || {{ echo 1.1307.4; exit 0; }}\n'
            f'for argument; do case "$argument" in --json-file-output=*) '
            f'cp {self.folder}/report.json "${{argument#*=}}" ;; esac; done\n'
            f"echo '{error}' >&2\nexit {code}\n"
        )
        program.chmod(0o700)

    @property
    def arguments(self) -> str:
        return (self.folder / "arguments").read_text()


@pytest.fixture
def program(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


async def scanned(program: StandIn, folder: Path) -> Report:
    (folder / "work").mkdir()
    subject = Subject("links:sha-1", folder / "image.tar", ("sha256:1",))
    return await Snyk(environ=program.environ).scan(subject, Scan(), folder / "work")


async def test_flaws_of_the_system_and_of_applications_are_told_by_their_cve(program: StandIn, tmp_path: Path) -> None:
    report = await scanned(program, tmp_path)
    system, application = report.findings
    assert (system.id, system.package, system.severity) == ("CVE-2025-32463", "sudo", "HIGH")
    assert (system.installed, system.fixed) == ("1.9.16p2-2", "1.9.16p2-3")
    assert (application.id, application.fixed, application.where) == ("SNYK-PYTHON-X-1", "", "/opt/venv")
    assert (report.run.version, report.run.packages) == ("1.1307.4", 53)


async def test_the_token_is_in_no_argument(program: StandIn, tmp_path: Path) -> None:
    await scanned(program, tmp_path)
    assert "container test docker-archive:" in program.arguments
    assert "canary" not in program.arguments


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "no_proxy"])
async def test_a_proxy_is_known_to_it_in_either_spelling(program: StandIn, tmp_path: Path, name: str) -> None:
    program.environ |= {name: "proxy.example:3128", "REGISTRY_PASSWORD": "canary"}
    await scanned(program, tmp_path)
    told = (program.folder / "environ").read_text()
    assert f"\n{name}=proxy.example:3128\n" in f"\n{told}"
    assert "REGISTRY_PASSWORD" not in told


@pytest.mark.parametrize("code", [2, 3])
async def test_a_failed_run_is_no_result(program: StandIn, tmp_path: Path, code: int) -> None:
    program.says(REPORT, code=code, error="Check your network connection, failed to connect to Snyk API")
    with pytest.raises(ScanError, match="there is no result") as caught:
        await scanned(program, tmp_path)
    assert "failed to connect to Snyk API" in caught.value.why


@pytest.mark.parametrize("report", [{"ok": True}, {"vulnerabilities": "none"}, {"ok": True, "dependencyCount": 0}])
async def test_a_report_that_says_nothing_is_no_result(program: StandIn, tmp_path: Path, report: object) -> None:
    program.says(report, code=0)
    with pytest.raises(ScanError, match="there is no result"):
        await scanned(program, tmp_path)


def config(root: Path, **scan: Any) -> Config:
    whole = builders.config(root)
    return whole.model_copy(update={"scan": Scan(**scan)})


def test_it_takes_part_where_its_token_and_its_program_are(program: StandIn, tmp_path: Path) -> None:
    def taking(environ: dict[str, str]) -> list[str]:
        return [scanner.name for scanner in scanners(config(tmp_path), environ=environ)]

    assert taking(program.environ) == ["trivy", "snyk"]
    assert taking({"PATH": program.environ["PATH"]}) == ["trivy"]
    assert taking({**program.environ, "PATH": str(tmp_path)}) == ["trivy"]


@pytest.mark.parametrize(("lacking", "named"), [("SNYK_TOKEN", "SNYK_TOKEN is not set"), ("PATH", "no `snyk` on PATH")])
def test_where_it_is_asked_for_its_absence_is_an_error(
    program: StandIn, tmp_path: Path, lacking: str, named: str
) -> None:
    environ = {**program.environ, lacking: ""}
    with pytest.raises(ScanError) as caught:
        scanners(config(tmp_path, scanners=("snyk",)), environ=environ)
    assert named in caught.value.why
