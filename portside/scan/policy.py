"""Does an image pass? Pure: findings, what portside.toml allows, and the day, make a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from portside.config import FILE, Ignore, Scan
from portside.scan.findings import SEVERITIES, Finding, Kind
from portside.scan.licenses import forbidden


@dataclass(frozen=True)
class Verdict:
    """What became of each finding: it fails the image, it is accepted by an ignore entry, or it counts for nothing.

    `expired` ignore entries fail the image by themselves; `unneeded` ones match nothing any more.
    """

    failures: tuple[Finding, ...]
    accepted: tuple[tuple[Finding, Ignore], ...]
    tolerated: tuple[Finding, ...]
    expired: tuple[Ignore, ...]
    unneeded: tuple[Ignore, ...]

    @property
    def passed(self) -> bool:
        return not self.failures and not self.expired

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it failed, a line each; empty when it passed."""
        return (*map(_expired, self.expired), *map(described, self.failures))


def judge(findings: Iterable[Finding], rules: Scan, today: date) -> Verdict:
    """Judge `findings`, worst first. `today` is a day in UTC; an entry that expires today still counts."""
    valid = [entry for entry in rules.ignore if entry.expires >= today]
    failures, accepted, tolerated = [], [], []
    for finding in sorted(findings, key=_rank):
        entry = next((entry for entry in valid if _matches(entry, finding)), None)
        if not fails(finding, rules):
            tolerated.append(finding)
        elif entry is None:
            failures.append(finding)
        else:
            accepted.append((finding, entry))
    used = {id(entry) for _, entry in accepted}
    return Verdict(
        failures=tuple(failures),
        accepted=tuple(accepted),
        tolerated=tuple(tolerated),
        expired=tuple(entry for entry in rules.ignore if entry.expires < today),
        unneeded=tuple(entry for entry in valid if id(entry) not in used),
    )


def wanted(rules: Scan) -> tuple[Kind, ...]:
    """What is to be looked for, by a scanner that can."""
    asked: dict[Kind, bool] = {
        "vulnerability": True,
        "license": bool(rules.forbidden_licenses),
        "misconfiguration": rules.misconfigurations,
        "secret": rules.secrets,
    }
    return tuple(kind for kind, so in asked.items() if so)


def fails(finding: Finding, rules: Scan) -> bool:
    """Would this finding fail an image if nobody had accepted it?"""
    if finding.kind == "license":
        return forbidden(finding.id, rules.forbidden_licenses)
    if finding.kind == "secret" and not rules.secrets:
        return False
    if finding.kind == "misconfiguration" and not rules.misconfigurations:
        return False
    if finding.kind == "vulnerability" and rules.fixed_only and not finding.fixed:
        return False
    return finding.severity in rules.severities


def described(finding: Finding) -> str:
    """One finding as a line for a person."""
    match finding.kind:
        case "vulnerability":
            mended = f"fixed in {finding.fixed}" if finding.fixed else "no fix yet"
            return f"{finding.severity} {finding.id} in {finding.package} {finding.installed}, {mended}"
        case "license":
            return f"forbidden licence {finding.id} of {finding.package}"
        case _:
            return f"{finding.severity} {finding.kind} {finding.id}: {finding.title}, in {finding.where}"


def _matches(entry: Ignore, finding: Finding) -> bool:
    return entry.id == finding.id and entry.package in (None, finding.package)


def _expired(entry: Ignore) -> str:
    within = f" in {entry.package}" if entry.package else ""
    return f"{FILE}: scan.ignore {entry.id}{within} expired on {entry.expires}; its reason was: {entry.reason}"


def _rank(finding: Finding) -> tuple[int, str, str, str]:
    return SEVERITIES.index(finding.severity), finding.kind, finding.package, finding.id
