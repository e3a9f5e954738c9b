"""A small database for the real Trivy, in its own format (schema 2), of a handful of real advisories.

What is in it is public and was so when it was written: GitHub's reviewed advisories and Debian's security tracker.
The buckets and their JSON are those of https://github.com/aquasecurity/trivy-db (pkg/db, pkg/types).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.boltdb import Bucket, write_bolt

PIP = "pip::GitHub Security Advisory pip"
DEBIAN = "debian 13"
SOURCES = {
    PIP: {
        "ID": "ghsa",
        "Name": "GitHub Security Advisory pip",
        "URL": "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Apip",
    },
    DEBIAN: {
        "ID": "debian",
        "Name": "Debian Security Tracker",
        "URL": "https://salsa.debian.org/security-tracker-team/security-tracker",
    },
}
LEVELS = {"UNKNOWN": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}


@dataclass(frozen=True)
class Advisory:
    """`vulnerable` and `patched` are version ranges of a pip package; `fixed` is a Debian source package's version."""

    bucket: str
    package: str
    id: str
    severity: str
    title: str
    vulnerable: tuple[str, ...] = ()
    patched: tuple[str, ...] = ()
    fixed: str = ""

    @property
    def detail(self) -> dict[str, Any]:
        if self.bucket == PIP:
            return {"VulnerableVersions": self.vulnerable, "PatchedVersions": self.patched}
        return {"FixedVersion": self.fixed} if self.fixed else {"Severity": LEVELS[self.severity]}


STARLETTE = Advisory(
    PIP,
    "starlette",
    "CVE-2024-47874",
    "HIGH",
    "Starlette Denial of service (DoS) via multipart/form-data",
    vulnerable=("<0.40.0",),
    patched=("0.40.0",),
)
GUNICORN = Advisory(
    PIP,
    "gunicorn",
    "CVE-2024-1135",
    "HIGH",
    "Request smuggling leading to endpoint restriction bypass in Gunicorn",
    vulnerable=("<22.0.0",),
    patched=("22.0.0",),
)
REQUESTS = Advisory(
    PIP,
    "requests",
    "CVE-2023-32681",
    "MEDIUM",
    "Unintended leak of Proxy-Authorization header in requests",
    vulnerable=(">=2.3.0, <2.31.0",),
    patched=("2.31.0",),
)
# Nobody will ever mend this one: its authors say that side channels are out of scope.
ECDSA = Advisory(
    PIP,
    "ecdsa",
    "CVE-2024-23342",
    "HIGH",
    "Minerva timing attack on P-256 in python-ecdsa",
    vulnerable=(">=0",),
)
SUDO = Advisory(
    DEBIAN, "sudo", "CVE-2025-32463", "CRITICAL", "sudo: local privilege escalation by --chroot", fixed="1.9.16p2-3"
)
GLIBC = Advisory(DEBIAN, "glibc", "CVE-2019-1010023", "LOW", "ldd of a malicious ELF file runs code")
ADVISORIES = (STARLETTE, GUNICORN, REQUESTS, ECDSA, SUDO, GLIBC)


def write_database(
    folder: Path, advisories: tuple[Advisory, ...] = ADVISORIES, *, updated: datetime | None = None
) -> Path:
    """Write trivy.db and metadata.json into `folder`, which is made; `updated` is when they were gathered (now)."""
    folder.mkdir(parents=True, exist_ok=True)
    buckets: dict[str, dict[str, dict[str, bytes]]] = {PIP: {}, DEBIAN: {}}
    details: dict[str, bytes] = {}
    for advisory in advisories:
        buckets[advisory.bucket].setdefault(advisory.package, {})[advisory.id] = _json(advisory.detail)
        source = "ghsa" if advisory.bucket == PIP else "nvd"
        details[advisory.id] = _json({"Title": advisory.title, "VendorSeverity": {source: LEVELS[advisory.severity]}})
    sources: Bucket = {name: _json(source) for name, source in SOURCES.items()}
    write_bolt(folder / "trivy.db", {"data-source": sources, "vulnerability": details, **buckets})
    moment = updated or datetime.now(UTC)
    times = {"UpdatedAt": moment, "NextUpdate": moment + timedelta(days=1), "DownloadedAt": moment}
    written = {name: time.isoformat() for name, time in times.items()}
    (folder / "metadata.json").write_text(json.dumps({"Version": 2, **written}))
    return folder


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
