"""Trivy: vulnerabilities, secrets, misconfigurations, licences and the SBOM, in one pass over an image's archive.

Its releases 0.69.4 to 0.69.6 were an attacker's (GHSA-69fq-xp46-6x23), made to carry off the secrets of the machines
they ran on. So the program is the one that uv.lock pins by its hash, an older one is refused, and it is started with
none of this process's variables but those it needs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from portside.command import run_command, tail
from portside.config import Scan
from portside.errors import CommandError, ScanError
from portside.scan.base import CYCLONEDX, JSON, PROXY_VARIABLES, SARIF, Report, Subject
from portside.scan.database import adopt, fetch
from portside.scan.findings import TRIVY, Kind
from portside.scan.policy import wanted
from portside.scan.trivy_report import read_report, tidied

OLDEST = (0, 70)
CONVERT_SECONDS = 120.0
INSTALL = "Type: uv sync --group scan"
# What Trivy may know of this process's environment. TRIVY_DB_REPOSITORY names a mirror; any other TRIVY_* could hide
# findings.
VARIABLES = (
    "PATH",
    "HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    *PROXY_VARIABLES,
    "DOCKER_CONFIG",
    "TRIVY_DB_REPOSITORY",
)
# What it calls each kind of finding; and which of them it also looks for in the image's configuration.
WORDS: Mapping[Kind, str] = {
    "vulnerability": "vuln",
    "license": "license",
    "misconfiguration": "misconfig",
    "secret": "secret",
}
OF_CONFIGURATIONS = ("misconfiguration", "secret")
# Nothing is asked of anybody, and no file that happens to lie in the project (trivy.yaml, .trivyignore) changes
# what is found.
ALONE = (
    "--skip-db-update",
    "--skip-java-db-update",
    "--skip-check-update",
    "--skip-version-check",
    "--disable-telemetry",
    "--offline-scan",
    "--no-progress",
    "--config=",
    "--ignorefile=",
    "--secret-config=",
)


def find_trivy() -> Path:
    """The program: of this Python environment, else on PATH. Raises ScanError that says how to get it."""
    beside = Path(sys.executable).with_name("trivy")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("trivy")
    if not found:
        raise ScanError("Trivy isn't installed, so nothing was scanned", where="this machine", remedy=INSTALL)
    return Path(found)


class Trivy:
    """`cache` keeps the database between scans; `database` is a copy to use in its place, and nothing is fetched."""

    name = TRIVY

    def __init__(
        self,
        cache: Path,
        *,
        database: Path | None = None,
        program: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._cache = cache / "trivy"
        self._database = database
        self._program = program or find_trivy()
        self._environ = {name: environ[name] for name in VARIABLES if name in environ}

    async def scan(self, subject: Subject, rules: Scan, folder: Path) -> Report:
        """As every Scanner does."""
        cache, advisories = self._cache, None
        if self._database is None:
            advisories = await fetch(self._program, self._cache, self._environ)
        else:
            cache = folder / "trivy"
            advisories = await asyncio.to_thread(adopt, self._database, cache)
        whole = folder / "trivy.json"
        await self._run(subject.archive, rules, cache, whole)
        report = self._read(whole, subject, rules, advisories)
        files = {
            "trivy.json": (JSON, whole.read_bytes()),
            "trivy.sarif": (SARIF, await self._converted(whole, "sarif")),
            "sbom.cdx.json": (CYCLONEDX, await self._converted(whole, "cyclonedx")),
        }
        return Report(report.run, report.findings, files, report.system)

    async def _run(self, archive: Path, rules: Scan, cache: Path, output: Path) -> None:
        kinds = wanted(rules)
        configuration = [WORDS[kind] for kind in kinds if kind in OF_CONFIGURATIONS]
        argv = [str(self._program), "image", f"--input={archive}", f"--cache-dir={cache}", *ALONE]
        # Analyses in memory: two scans at once would wait for each other's file.
        argv += ["--cache-backend=memory", "--format=json", "--list-all-pkgs", f"--output={output}"]
        argv += [f"--scanners={','.join(WORDS[kind] for kind in kinds)}", f"--timeout={rules.timeout:g}s"]
        if configuration:
            argv.append(f"--image-config-scanners={','.join(configuration)}")
        try:
            # Trivy keeps to its own time-out; this one is for when it doesn't.
            result = await run_command(argv, timeout=rules.timeout + 10, env=self._environ, inherit=False)
        except CommandError as error:
            raise _broken(str(error)) from None
        if result.exit_code != 0:
            raise _broken(tail(result.stderr or result.stdout, 8))

    def _read(self, whole: Path, subject: Subject, rules: Scan, advisories: datetime) -> Report:
        try:
            text = tidied(whole.read_bytes(), subject)
            report = read_report(text, kinds=wanted(rules), advisories=advisories)
        except (OSError, ValueError, ValidationError) as error:
            raise _broken(f"its report can't be understood: {error}") from None
        whole.write_bytes(text)
        if _version(report.run.version) < OLDEST:
            raise ScanError(
                f"this Trivy is {report.run.version or 'of no known version'}, and {OLDEST[0]}.{OLDEST[1]} is the "
                "oldest that is trusted; nothing it said was kept",
                where=str(self._program),
                remedy=INSTALL,
            )
        if not report.run.packages:
            raise ScanError(
                "Trivy knows no package in this image, so it can't say anything about it",
                where=subject.reference,
                remedy="An image needs its package manager's records (dpkg, dist-info); a base without them can't be "
                "judged by what is installed.",
            )
        return report

    async def _converted(self, whole: Path, form: str) -> bytes:
        output = whole.with_suffix(f".{form}")
        argv = [str(self._program), "convert", f"--format={form}", f"--output={output}", "--config=", "--quiet"]
        result = await run_command([*argv, str(whole)], timeout=CONVERT_SECONDS, env=self._environ, inherit=False)
        if result.exit_code != 0:
            raise _broken(tail(result.stderr or result.stdout, 8))
        return output.read_bytes()


def _version(text: str) -> tuple[int, int]:
    parts = text.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (0, 0)


def _broken(why: str) -> ScanError:
    return ScanError(
        "Trivy did not get to the end of the scan; there is no result",
        where="this machine",
        why=why,
        remedy="Try again; if it says that time ran out, raise scan.timeout in portside.toml.",
    )
