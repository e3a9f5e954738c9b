"""A scan's outcome, for people and for machines."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from portside.config import Scan
from portside.scan.findings import SEVERITIES, Finding, Record
from portside.scan.policy import Verdict, judge

WIDTH = 160
STALE = timedelta(days=7)
WORDS = {
    "vulnerability": ("vulnerability", "vulnerabilities"),
    "secret": ("secret", "secrets"),
    "misconfiguration": ("misconfiguration", "misconfigurations"),
    "license": ("licence", "licences"),
}


def report_text(record: Record, verdict: Verdict) -> str:
    """The whole outcome as plain text: what fails the image, what was accepted and until when, what else there is."""
    paper = Console(file=StringIO(), width=WIDTH, highlight=False, markup=False, color_system=None)
    system = f" ({record.system})" if record.system else ""
    paper.print(f"{'✓' if verdict.passed else '✗'} {record.image}{system}: {summary(record, verdict)}", soft_wrap=True)
    if verdict.failures:
        paper.print(_table(verdict.failures))
    for entry in verdict.expired:
        paper.print(f"  ignore {entry.id} expired on {entry.expires}: {entry.reason}", soft_wrap=True)
    for finding, entry in verdict.accepted:
        paper.print(
            f"  accepted until {entry.expires}: {finding.id} in {finding.package} ({entry.reason})", soft_wrap=True
        )
    for entry in verdict.unneeded:
        paper.print(f"  ignore {entry.id} matches nothing any more: remove it", soft_wrap=True)
    if verdict.tolerated:
        paper.print(f"  below the threshold: {_counted(verdict.tolerated)}", soft_wrap=True)
    for run in record.runs:
        paper.print(f"  {_ran(run.scanner, run.version, run.packages, run.advisories, record.scanned)}", soft_wrap=True)
    text: str = paper.file.getvalue()  # type: ignore[attr-defined]
    return text


def summary(record: Record, verdict: Verdict) -> str:
    """The verdict in a few words."""
    if verdict.passed:
        return "passed" + (f", {len(verdict.accepted)} accepted" if verdict.accepted else "")
    parts = []
    if verdict.failures:
        parts.append(f"{len(verdict.failures)} finding{'s' if len(verdict.failures) > 1 else ''}")
    if verdict.expired:
        parts.append(f"{len(verdict.expired)} expired ignore entr{'ies' if len(verdict.expired) > 1 else 'y'}")
    return f"failed, {' and '.join(parts)}"


def report_data(record: Record, verdict: Verdict, folder: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "image": record.image,
        "verdict": "passed" if verdict.passed else "failed",
        "digests": record.digests,
        "scanned": record.scanned.isoformat(),
        "system": record.system,
        "scanners": [run.model_dump(mode="json") for run in record.runs],
        "failures": [finding.model_dump(mode="json") for finding in verdict.failures],
        "accepted": [
            {"id": finding.id, "package": finding.package, "expires": str(entry.expires), "reason": entry.reason}
            for finding, entry in verdict.accepted
        ],
        "expired": [entry.model_dump(mode="json") for entry in verdict.expired],
        "below_threshold": dict(Counter(finding.severity for finding in verdict.tolerated)),
        "reports": folder,
    }


def scan_summary(record: Record, rules: Scan) -> str:
    """What a release's directory on a host holds of its image's scan: when, by what, and how it was judged."""
    verdict = judge(record.findings, rules, datetime.now(UTC).date())
    data = report_data(record, verdict, "")
    counted = {"failures": len(data.pop("failures")), "reports": None}
    return json.dumps({name: value for name, value in (data | counted).items() if value is not None}) + "\n"


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, pad_edge=True, header_style="")
    for column in ("severity", "what", "in", "has", "fixed in", "where", "by"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(
            finding.severity,
            finding.id if finding.kind == "vulnerability" else f"{finding.kind} {finding.id}",
            finding.package,
            finding.installed,
            finding.fixed or "–",
            finding.where,
            finding.scanner,
        )
    return table


def _counted(findings: tuple[Finding, ...]) -> str:
    # A licence that isn't forbidden has no severity that means anything.
    kinds = Counter((_rank(finding), finding.kind) for finding in findings)
    return ", ".join(
        f"{count} {SEVERITIES[rank] + ' ' if rank < len(SEVERITIES) else ''}{WORDS[kind][count > 1]}"
        for (rank, kind), count in sorted(kinds.items())
    )


def _rank(finding: Finding) -> int:
    return len(SEVERITIES) if finding.kind == "license" else SEVERITIES.index(finding.severity)


def _ran(scanner: str, version: str, packages: int, advisories: datetime | None, scanned: datetime) -> str:
    text = f"{scanner} {version}: {packages} packages"
    if advisories is None:
        return text
    age = scanned - advisories.astimezone(UTC)
    old = f", {age.days} days old: what was found since is not in it" if age > STALE else ""
    return f"{text}, advisories of {advisories:%Y-%m-%d}{old}"
