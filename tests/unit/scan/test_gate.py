"""What a record lets through: bound to one image, judged by the rules and the date of today, while it is young."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portside.admission import SCAN_FILE, admitted, doubts
from portside.config import Config, Ignore, Scan
from portside.errors import ScanError
from portside.release import Image
from portside.scan.findings import Finding, Record, Run
from portside.scan.gate import bind, known, refuse_failed, require_passing
from portside.scan.policy import wanted
from portside.scan.store import KEPT, RECORD, Store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ID = "sha256:" + "1" * 64
MANIFEST = "sha256:" + "2" * 64
OTHER = "sha256:" + "3" * 64
LOCAL = Image(reference="links:sha-111111111111", id=ID)
FLAW = Finding(
    kind="vulnerability",
    id="CVE-2024-47874",
    severity="HIGH",
    scanner="trivy",
    package="starlette",
    installed="0.37.2",
    fixed="0.40.0",
)
ACCEPTED = Ignore(id=FLAW.id, reason="no forms here", expires=date(2026, 12, 1))


def project(root: Path, *ignore: Ignore, **environment: Any) -> Config:
    return Config.model_validate(
        {
            "root": root,
            "service": {"name": "links"},
            "env": {"prod": {"name": "prod", "require_scan": True, **environment}},
            "scan": Scan(ignore=ignore),
        }
    )


def scanned(root: Path, *findings: Finding, at: datetime = NOW, **changes: Any) -> Record:
    """A record of the image ID, kept in the project."""
    values: dict[str, Any] = {
        "image": LOCAL.reference,
        "digests": (ID,),
        "scanned": at,
        "runs": (Run(scanner="trivy", version="0.76.0", packages=53, kinds=wanted(Scan())),),
        "findings": findings,
    }
    record = Record(**(values | changes))
    Store(root).save(record, {"report.txt": b"a table"})
    return record


async def refused(config: Config, image: Image = LOCAL, now: datetime = NOW) -> ScanError:
    with pytest.raises(ScanError) as caught:
        await require_passing(config, config.environment("prod"), image, now=now)
    return caught.value


async def test_what_passed_lately_may_be_deployed(tmp_path: Path) -> None:
    config = project(tmp_path)
    record = scanned(tmp_path)
    assert await require_passing(config, config.environment("prod"), LOCAL, now=NOW) == record


async def test_what_was_never_scanned_may_not(tmp_path: Path) -> None:
    error = await refused(project(tmp_path))
    assert "no scan of links:sha-111111111111 is known" in error.what
    assert error.remedy == "Type: invoke scan --env prod --image links:sha-111111111111"


async def test_another_image_s_scan_counts_for_nothing(tmp_path: Path) -> None:
    scanned(tmp_path)
    assert "no scan" in (await refused(project(tmp_path), LOCAL.model_copy(update={"id": OTHER}))).what


async def test_what_failed_may_be_neither_pushed_nor_deployed(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path, FLAW)
    error = await refused(config)
    assert "is not deployed" in error.what
    assert error.why == "HIGH CVE-2024-47874 in starlette 0.37.2, fixed in 0.40.0"
    with pytest.raises(ScanError, match="is not pushed"):
        await refuse_failed(config, config.environment("prod"), LOCAL, now=NOW)


async def test_what_was_never_scanned_may_be_pushed(tmp_path: Path) -> None:
    config = project(tmp_path)
    await refuse_failed(config, config.environment("prod"), LOCAL, now=NOW)


async def test_an_old_scan_may_be_pushed_by_and_not_deployed_by(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path, at=NOW - timedelta(days=7, minutes=1))
    assert "older than 7d" in (await refused(config)).what
    await refuse_failed(config, config.environment("prod"), LOCAL, now=NOW)


async def test_a_finding_is_accepted_without_a_new_scan_until_its_entry_expires(tmp_path: Path) -> None:
    scanned(tmp_path, FLAW)
    config = project(tmp_path, ACCEPTED)
    await require_passing(config, config.environment("prod"), LOCAL, now=NOW)
    scanned(tmp_path, FLAW, at=NOW + timedelta(days=8))
    error = await refused(config, now=NOW + timedelta(days=8))
    assert "scan.ignore CVE-2024-47874 expired on 2026-12-01" in error.why


async def test_a_record_is_found_by_the_digest_that_a_push_gave(tmp_path: Path) -> None:
    config = project(tmp_path)
    reference = f"127.0.0.1:1/team/links@{MANIFEST}"
    pushed = Image(reference=reference)
    scanned(tmp_path)
    assert known(config, pushed) is None
    said: list[str] = []
    await bind(config, LOCAL, reference, said.append, now=NOW)
    assert known(config, pushed) == known(config, LOCAL)
    # Nothing listens there: the record is bound all the same, and the registry's refusal is told.
    assert "could not be attached" in said[0]


def test_a_record_that_is_moved_to_another_digest_is_not_taken(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path)
    store = Store(tmp_path)
    store.folder(OTHER).mkdir()
    (store.folder(OTHER) / RECORD).write_bytes((store.folder(ID) / RECORD).read_bytes())
    assert known(config, Image(reference="links:other", id=OTHER)) is None


def test_a_damaged_record_is_none(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path)
    (Store(tmp_path).folder(ID) / RECORD).write_text('{"image": ')
    assert known(config, LOCAL) is None


def test_a_digest_may_become_another_s_first(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path, digests=(ID, MANIFEST))
    scanned(tmp_path, FLAW, digests=(MANIFEST, ID))
    found = known(config, LOCAL)
    assert found is not None and found.findings == (FLAW,)
    assert found == known(config, Image(reference=f"r/links@{MANIFEST}"))


def test_only_the_newest_records_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        scanned(tmp_path, digests=(f"sha256:{number:064d}", f"sha256:{number + 1000:064d}"))
    left = list((tmp_path / ".portside/scans").iterdir())
    assert len(left) == 2 * KEPT
    assert all(path.exists() for path in left)


# What the rest of the engine asks


async def test_a_release_s_directory_tells_of_the_scan(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path, at=datetime.now(UTC))
    told = json.loads((await admitted(config, config.environment("prod"), LOCAL))[SCAN_FILE])
    assert (told["verdict"], told["digests"], told["failures"]) == ("passed", [ID], 0)
    assert told["scanners"][0]["scanner"] == "trivy"


async def test_an_environment_that_demands_nothing_is_told_what_is_known(tmp_path: Path) -> None:
    config = project(tmp_path, require_scan=False)
    environment = config.environment("prod")
    assert await admitted(config, environment, LOCAL) == {}
    scanned(tmp_path, FLAW)
    assert json.loads((await admitted(config, environment, LOCAL))[SCAN_FILE])["verdict"] == "failed"


@pytest.mark.parametrize(
    ("findings", "age", "named"),
    [
        ((), 8, "its scan is older than 7d"),
        ((FLAW,), 0, "it fails its scan: HIGH CVE-2024-47874"),
        (None, 0, "no scan"),
    ],
)
def test_a_rollback_says_what_is_against_the_old_release_in_one_line(
    tmp_path: Path, findings: tuple[Finding, ...] | None, age: int, named: str
) -> None:
    config = project(tmp_path)
    if findings is not None:
        scanned(tmp_path, *findings, at=datetime.now(UTC) - timedelta(days=age))
    (line,) = doubts(config, config.environment("prod"), LOCAL)
    assert named in line
    assert "\n" not in line


def test_a_rollback_to_what_passed_or_where_nothing_is_demanded_says_nothing(tmp_path: Path) -> None:
    relaxed = project(tmp_path, require_scan=False)
    assert doubts(relaxed, relaxed.environment("prod"), LOCAL) == ()
    config = project(tmp_path)
    scanned(tmp_path, at=datetime.now(UTC))
    assert doubts(config, config.environment("prod"), LOCAL) == ()


async def test_every_scanner_that_has_to_agree_has_said_something(tmp_path: Path) -> None:
    config = project(tmp_path)
    both = config.model_copy(update={"scan": Scan(scanners=("trivy", "snyk"))})
    scanned(tmp_path)
    await require_passing(config, config.environment("prod"), LOCAL, now=NOW)
    with pytest.raises(ScanError, match="without snyk"):
        await require_passing(both, both.environment("prod"), LOCAL, now=NOW)


ONLY_FLAWS = Scan(secrets=False, misconfigurations=False, forbidden_licenses=())


@pytest.mark.parametrize(
    ("switched_on", "named"),
    [
        ({"secrets": True}, "a look for secrets"),
        ({"misconfigurations": True}, "a look for misconfigurations"),
        ({"forbidden_licenses": ("AGPL-*",)}, "a look for licences"),
    ],
)
async def test_what_was_switched_on_since_has_to_be_looked_for(
    tmp_path: Path, switched_on: dict[str, Any], named: str
) -> None:
    plain = project(tmp_path)
    before, after = (
        plain.model_copy(update={"scan": ONLY_FLAWS.model_copy(update=changes)}) for changes in ({}, switched_on)
    )
    run = Run(scanner="trivy", version="0.76.0", packages=53, kinds=wanted(before.scan))
    scanned(tmp_path, runs=(run,), at=datetime.now(UTC))
    await require_passing(before, before.environment("prod"), LOCAL)
    assert named in (await refused(after, now=datetime.now(UTC))).what
    assert named in doubts(after, after.environment("prod"), LOCAL)[0]


async def test_a_record_that_does_not_tell_what_was_looked_for_is_good_for_flaws_alone(tmp_path: Path) -> None:
    config = project(tmp_path)
    scanned(tmp_path)
    path = Store(tmp_path).folder(ID) / RECORD
    old = json.loads(path.read_text())
    del old["runs"][0]["kinds"]
    path.write_text(json.dumps(old))
    assert "a look for licences, a look for misconfigurations, a look for secrets" in (await refused(config)).what
    flaws = config.model_copy(update={"scan": ONLY_FLAWS})
    await require_passing(flaws, flaws.environment("prod"), LOCAL, now=NOW)


async def test_where_trivy_is_not_asked_nobody_looks_for_more_than_flaws(tmp_path: Path) -> None:
    config = project(tmp_path)
    other = config.model_copy(update={"scan": Scan(scanners=("snyk",))})
    scanned(tmp_path, runs=(Run(scanner="snyk", version="1.1307.4", packages=53),))
    await require_passing(other, other.environment("prod"), LOCAL, now=NOW)
