"""Scan one image with every scanner that is to take part, and keep what they found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from portside.config import Config
from portside.fleet import everywhere
from portside.scan.base import Report, Scanner, Subject
from portside.scan.findings import TRIVY, Record
from portside.scan.policy import Verdict, judge
from portside.scan.show import report_text
from portside.scan.snyk import NAME as SNYK
from portside.scan.snyk import Snyk, find_snyk
from portside.scan.store import TABLE, Store
from portside.scan.trivy import Trivy

CACHE = Path(".portside/cache")


def scanners(config: Config, *, database: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Scanner]:
    """Those of `scan.scanners`, and Snyk where its token and program are there.

    `database` is a copy of Trivy's, in place of `scan.db`. Raises ScanError when one of them isn't installed.
    """
    copy = database or (config.root / config.scan.db if config.scan.db else None)
    chosen: list[str] = list(dict.fromkeys(config.scan.scanners))
    if SNYK not in chosen and find_snyk(environ):
        chosen.append(SNYK)
    made: dict[str, Scanner] = {}
    for name in chosen:
        made[name] = (
            Trivy(config.root / CACHE, database=copy, environ=environ) if name == TRIVY else Snyk(environ=environ)
        )
    return list(made.values())


async def examine(config: Config, subject: Subject, takers: Sequence[Scanner], folder: Path) -> tuple[Record, Verdict]:
    """Scan `subject` with all of `takers` at once, and keep the record with its reports under `.portside/scans`.

    Raises ScanError when one of them could not run; then nothing is kept.
    """
    began = datetime.now(UTC)

    async def taken(taker: Scanner) -> Report:
        own = folder / taker.name
        own.mkdir(mode=0o700)
        return await taker.scan(subject, config.scan, own)

    reports = await everywhere(takers, taken)
    record = Record(
        image=subject.reference,
        digests=subject.digests,
        published=subject.published,
        scanned=began,
        system=next((report.system for report in reports if report.system), ""),
        runs=tuple(report.run for report in reports),
        findings=tuple(finding for report in reports for finding in report.findings),
    )
    verdict = judge(record.findings, config.scan, began.date())
    files = {name: content for report in reports for name, (_, content) in report.files.items()}
    Store(config.root).save(record, {**files, TABLE: report_text(record, verdict).encode()})
    return record, verdict
