"""What a person reads of a scan, and what a machine does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from portside.config import Ignore, Scan
from portside.scan.findings import Finding, Record, Run
from portside.scan.policy import judge
from portside.scan.show import report_data, report_text

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FLAW = Finding(
    kind="vulnerability",
    id="CVE-2024-47874",
    severity="HIGH",
    scanner="trivy",
    package="starlette",
    installed="0.37.2",
    fixed="0.40.0",
    where="opt/venv/lib/python3.13/site-packages/starlette-0.37.2.dist-info/METADATA",
)
LICENSE = Finding(kind="license", id="MIT", severity="LOW", scanner="trivy", package="starlette")
SECRET = Finding(kind="secret", id="github-pat", severity="CRITICAL", scanner="trivy", package="a", where="a:1")


def record(*findings: Finding, gathered: datetime = NOW) -> Record:
    return Record(
        image="links:sha-1",
        digests=("sha256:1",),
        scanned=NOW,
        system="debian 13.8",
        runs=(Run(scanner="trivy", version="0.76.0", packages=53, advisories=gathered),),
        findings=findings,
    )


def text(found: Record, rules: Scan) -> str:
    return report_text(found, judge(found.findings, rules, NOW.date()))


def test_what_fails_an_image_stands_first_with_package_versions_and_place() -> None:
    head, _, secret, flaw, *rest = text(record(LICENSE, FLAW, SECRET), Scan()).splitlines()
    assert head == "✗ links:sha-1 (debian 13.8): failed, 2 findings"
    assert secret.split()[:3] == ["CRITICAL", "secret", "github-pat"]
    assert flaw.split()[:5] == ["HIGH", "CVE-2024-47874", "starlette", "0.37.2", "0.40.0"]
    assert rest == ["  below the threshold: 1 licence", "  trivy 0.76.0: 53 packages, advisories of 2026-11-24"]


def test_what_was_accepted_is_told_with_its_reason_and_its_day() -> None:
    entry = Ignore(id=FLAW.id, reason="no forms are parsed", expires=date(2026, 12, 1))
    said = text(record(FLAW), Scan(ignore=(entry, entry.model_copy(update={"id": "CVE-1999-1"}))))
    assert said.startswith("✓ links:sha-1 (debian 13.8): passed, 1 accepted\n")
    assert "accepted until 2026-12-01: CVE-2024-47874 in starlette (no forms are parsed)" in said
    assert "ignore CVE-1999-1 matches nothing any more: remove it" in said


def test_square_brackets_are_what_they_are() -> None:
    entry = Ignore(id=FLAW.id, reason="see [ops-12] and [/etc/x]", expires=date(2026, 12, 1))
    odd = SECRET.model_copy(update={"where": "srv/app/[slug]/page.js:1"})
    said = text(record(FLAW, odd), Scan(ignore=(entry,)))
    assert "(see [ops-12] and [/etc/x])" in said
    assert "srv/app/[slug]/page.js:1" in said


def test_old_advisories_are_not_passed_over_in_silence() -> None:
    said = text(record(gathered=NOW - timedelta(days=40)), Scan())
    assert "advisories of 2026-10-15, 40 days old: what was found since is not in it" in said


def test_a_machine_is_told_the_same() -> None:
    found = record(FLAW, LICENSE)
    data = report_data(found, judge(found.findings, Scan(), NOW.date()), ".portside/scans/sha256-1")
    assert data["verdict"] == "failed"
    assert data["failures"][0]["id"] == FLAW.id
    assert data["below_threshold"] == {"LOW": 1}
    assert data["scanners"][0]["advisories"] == "2026-11-24T12:00:00Z"
