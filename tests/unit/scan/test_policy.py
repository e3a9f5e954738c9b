"""Which findings fail an image, which are accepted and until when: decided without any scanner."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.config import Ignore, Scan, load_config
from portside.errors import ConfigError
from portside.scan.findings import SEVERITIES, Finding
from portside.scan.policy import described, judge

TODAY = date(2026, 11, 24)


def flaw(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "kind": "vulnerability",
        "id": "CVE-2024-47874",
        "severity": "HIGH",
        "scanner": "trivy",
        "package": "starlette",
        "installed": "0.37.2",
        "fixed": "0.40.0",
    }
    return Finding(**(values | changes))


def entry(**changes: Any) -> Ignore:
    values = {"id": "CVE-2024-47874", "reason": "no forms here", "expires": TODAY}
    return Ignore.model_validate(values | changes)


@pytest.mark.parametrize("severity", ["HIGH", "CRITICAL"])
def test_a_grave_flaw_with_a_fix_fails_the_image(severity: str) -> None:
    verdict = judge([flaw(severity=severity)], Scan(), TODAY)
    assert not verdict.passed
    assert verdict.reasons == (f"{severity} CVE-2024-47874 in starlette 0.37.2, fixed in 0.40.0",)


@pytest.mark.parametrize("harmless", [{"severity": "MEDIUM"}, {"severity": "UNKNOWN"}, {"fixed": ""}])
def test_what_is_below_the_threshold_is_told_and_fails_nothing(harmless: dict[str, str]) -> None:
    verdict = judge([flaw(**harmless)], Scan(), TODAY)
    assert verdict.passed
    assert len(verdict.tolerated) == 1


def test_the_thresholds_are_settings() -> None:
    assert not judge([flaw(severity="LOW")], Scan(severities=("LOW",)), TODAY).passed
    assert not judge([flaw(fixed="")], Scan(fixed_only=False), TODAY).passed


def test_a_secret_and_a_misconfiguration_need_no_fix_to_fail() -> None:
    secret = flaw(
        kind="secret", id="aws-access-key-id", package="srv/.env", fixed="", title="AWS key", where="srv/.env:1"
    )
    mistake = flaw(kind="misconfiguration", id="DS-0002", package="", fixed="", title="runs as root", where="links:1")
    verdict = judge([secret, mistake], Scan(), TODAY)
    assert set(verdict.failures) == {secret, mistake}
    assert judge([secret], Scan(secrets=False), TODAY).passed
    assert judge([mistake], Scan(misconfigurations=False), TODAY).passed


@pytest.mark.parametrize(
    ("license", "forbidden"),
    [
        ("AGPL-3.0-only", True),
        ("agpl-3.0", True),
        ("SSPL-1.0", True),
        ("MIT AND AGPL-3.0-only", True),
        ("MIT OR AGPL-3.0-only", False),
        ("LGPL-2.1-only", False),
        ("MIT", False),
    ],
)
def test_a_licence_fails_by_its_name_whatever_its_severity(license: str, forbidden: bool) -> None:
    verdict = judge([flaw(kind="license", id=license, severity="UNKNOWN", fixed="")], Scan(), TODAY)
    assert verdict.passed is not forbidden


def test_an_ignored_flaw_is_accepted_to_the_end_of_its_last_day() -> None:
    rules = Scan(ignore=(entry(),))
    verdict = judge([flaw()], rules, TODAY)
    assert verdict.passed
    assert verdict.accepted == ((flaw(), rules.ignore[0]),)


def test_an_expired_entry_fails_the_image_and_names_itself() -> None:
    verdict = judge([flaw()], Scan(ignore=(entry(expires=date(2026, 11, 23)),)), TODAY)
    assert not verdict.passed
    assert "scan.ignore CVE-2024-47874 expired on 2026-11-23" in verdict.reasons[0]
    assert "no forms here" in verdict.reasons[0]
    assert verdict.failures == (flaw(),)


def test_an_expired_entry_fails_an_image_that_has_nothing_else_wrong() -> None:
    verdict = judge([], Scan(ignore=(entry(expires=date(2026, 11, 23)),)), TODAY)
    assert not verdict.passed
    assert len(verdict.reasons) == 1


def test_an_entry_for_one_package_accepts_no_other() -> None:
    rules = Scan(ignore=(entry(package="fastapi"),))
    assert not judge([flaw()], rules, TODAY).passed
    assert judge([flaw(package="fastapi")], rules, TODAY).passed


def test_an_entry_that_matches_nothing_is_named_as_such() -> None:
    rules = Scan(ignore=(entry(id="CVE-1999-0001"),))
    verdict = judge([flaw(severity="LOW")], rules, TODAY)
    assert verdict.passed
    assert verdict.unneeded == rules.ignore


findings = st.builds(
    flaw,
    kind=st.sampled_from(["vulnerability", "secret", "misconfiguration", "license"]),
    id=st.sampled_from(["CVE-1", "CVE-2", "AGPL-3.0", "MIT"]),
    severity=st.sampled_from(SEVERITIES),
    package=st.sampled_from(["a", "b"]),
    fixed=st.sampled_from(["", "2"]),
)
entries = st.builds(
    entry,
    id=st.sampled_from(["CVE-1", "CVE-2", "AGPL-3.0"]),
    package=st.sampled_from([None, "a"]),
    expires=st.dates(date(2026, 11, 20), date(2026, 11, 28)),
)


@given(st.lists(findings, max_size=8), st.lists(entries, max_size=4))
def test_no_finding_is_lost_and_none_counts_twice(found: list[Finding], ignored: list[Ignore]) -> None:
    verdict = judge(found, Scan(ignore=tuple(ignored)), TODAY)
    sorted_out = [*verdict.failures, *(finding for finding, _ in verdict.accepted), *verdict.tolerated]
    assert sorted(map(repr, sorted_out)) == sorted(map(repr, found))
    assert verdict.passed == (not verdict.failures and all(each.expires >= TODAY for each in ignored))


@given(st.lists(findings, max_size=8), st.lists(entries, max_size=4))
def test_time_alone_never_lets_an_image_through(found: list[Finding], ignored: list[Ignore]) -> None:
    rules = Scan(ignore=tuple(ignored))
    if not judge(found, rules, TODAY).passed:
        assert not judge(found, rules, date(2026, 12, 24)).passed


def test_a_secret_is_described_by_its_place_alone() -> None:
    line = described(flaw(kind="secret", id="github-pat", title="GitHub token", where="srv/.env:3"))
    assert line == "HIGH secret github-pat: GitHub token, in srv/.env:3"


PROJECT = '[service]\nname = "links"\n[env.local]\n'


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ('[[scan.ignore]]\nid = "CVE-1"\nexpires = 2027-01-01', "scan.ignore.0.reason"),
        ('[[scan.ignore]]\nid = "CVE-1"\nreason = " "\nexpires = 2027-01-01', "scan.ignore.0.reason"),
        ('[[scan.ignore]]\nid = "CVE-1"\nreason = "why"', "scan.ignore.0.expires"),
        ('[[scan.ignore]]\nid = "CVE-1"\nreason = "why"\nexpires = "soon"', "scan.ignore.0.expires"),
        ('[[scan.ignore]]\nid = "CVE-1"\nreason = "why"\nexpires = 30', "a date like 2027-03-31"),
        ('[[scan.ignore]]\nreason = "why"\nexpires = 2027-01-01', "scan.ignore.0.id"),
        ('[scan]\nseverities = ["GRAVE"]', "scan.severities.0"),
        ("[scan]\nseverities = []", "scan.severities"),
        ('[scan]\nmax_age = "soon"', "scan.max_age"),
        ('[scan]\nscanners = ["clair"]', "scan.scanners.0"),
        ("[scan]\nthreshold = 1", "scan.threshold: no such key"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_key(tmp_path: Path, lines: str, named: str) -> None:
    (tmp_path / "portside.toml").write_text(f"{PROJECT}{lines}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert named in str(caught.value)


def test_an_entry_s_date_may_be_written_as_toml_or_as_text(tmp_path: Path) -> None:
    both = "".join(
        f'[[scan.ignore]]\nid = "CVE-1"\nreason = "why"\nexpires = {form}\n' for form in ("2027-01-01", '"2027-01-01"')
    )
    (tmp_path / "portside.toml").write_text(PROJECT + both)
    first, second = load_config(tmp_path).scan.ignore
    assert first == second
