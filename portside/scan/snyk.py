"""Snyk: a second opinion on vulnerabilities, where its token and its program are there.

The program sends the list of packages, never the image, to Snyk's service and prints what that knows of them:
https://docs.snyk.io/snyk-cli/commands/container-test
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

from portside.command import run_command, tail
from portside.config import Scan, Severity
from portside.errors import CommandError, ScanError
from portside.scan.base import JSON, PROXY_VARIABLES, Report, Subject
from portside.scan.findings import Finding, Run

NAME = "snyk"
TOKEN = "SNYK_TOKEN"  # noqa: S105 - the name of a variable
QUESTION_SECONDS = 60.0
# Done, and done with findings. 2 is a failure, 3 an image with nothing in it that Snyk knows.
DONE = (0, 1)
VARIABLES = (
    "PATH",
    "HOME",
    "TMPDIR",
    "NODE_EXTRA_CA_CERTS",
    *PROXY_VARIABLES,
)


class Identifiers(BaseModel):
    cve: tuple[str, ...] = Field((), alias="CVE")


class Issue(BaseModel):
    id: str
    title: str = ""
    severity: str = "unknown"
    package: str = Field(validation_alias=AliasChoices("name", "packageName"))
    version: str = ""
    nearest: str = Field("", alias="nearestFixedInVersion")
    fixed: tuple[str, ...] = Field((), alias="fixedIn")
    identifiers: Identifiers = Identifiers()


class Project(BaseModel):
    """What Snyk says of one list of packages: the system's, or one application's in the image."""

    issues: tuple[Issue, ...] = Field((), alias="vulnerabilities")
    packages: int = Field(0, alias="dependencyCount")
    manager: str = Field("", alias="packageManager")
    file: str = Field("", alias="displayTargetFile")
    applications: tuple[Project, ...] = ()


def find_snyk(environ: Mapping[str, str]) -> Path | None:
    """The program, where it is on PATH and there is a token for it; None otherwise."""
    found = shutil.which(NAME, path=environ.get("PATH"))
    return Path(found) if found and environ.get(TOKEN) else None


class Snyk:
    """`program` as `find_snyk` found it. The token stays in the environment, where the program looks for it."""

    name = NAME

    def __init__(self, program: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
        found = program or find_snyk(environ)
        if found is None:
            raise ScanError(
                "Snyk can't be used, so nothing was scanned",
                where="portside.toml: scan.scanners",
                why=f"{TOKEN} is not set" if not environ.get(TOKEN) else "there is no `snyk` on PATH",
                remedy=f"Set {TOKEN} and type `npm install --global snyk`, or take snyk out of scan.scanners.",
            )
        self._program = found
        kept = {name: value for name, value in environ.items() if name in VARIABLES or name.startswith("SNYK_")}
        self._environ = {**kept, "SNYK_DISABLE_ANALYTICS": "1"}

    async def scan(self, subject: Subject, rules: Scan, folder: Path) -> Report:
        """As every Scanner does."""
        version = await self._run(["--version"], folder, QUESTION_SECONDS, "its version can't be had")
        output = folder / "snyk.json"
        argv = ["container", "test", f"docker-archive:{subject.archive}", f"--json-file-output={output}"]
        await self._run(argv, folder, rules.timeout, "its service did not answer as it should")
        try:
            text = output.read_bytes()
            projects = read_projects(text)
        except (OSError, ValidationError) as error:
            raise _broken("its report can't be understood", str(error)) from None
        packages = sum(project.packages for project in projects)
        if not packages:
            raise _broken("it knows no package in this image", "")
        run = Run(scanner=NAME, version=version.split()[0] if version else "", packages=packages)
        return Report(run, tuple(dict.fromkeys(_findings(projects))), {output.name: (JSON, text)})

    async def _run(self, arguments: list[str], folder: Path, timeout: float, what: str) -> str:
        try:
            # In a folder where no `.snyk` lies that could hide findings.
            result = await run_command(
                [str(self._program), *arguments], timeout=timeout, env=self._environ, cwd=folder, inherit=False
            )
        except CommandError as error:
            raise _broken(what, str(error)) from None
        if result.exit_code not in DONE:
            raise _broken(what, tail(result.stderr or result.stdout, 8))
        return result.text


def read_projects(text: bytes) -> tuple[Project, ...]:
    """Snyk's JSON report, the image's applications beside its system. Raises pydantic.ValidationError."""
    found = TypeAdapter(Project | tuple[Project, ...]).validate_json(text)
    projects = found if isinstance(found, tuple) else (found,)
    return tuple(each for project in projects for each in (project, *project.applications))


def _findings(projects: tuple[Project, ...]) -> Iterator[Finding]:
    for project in projects:
        for issue in project.issues:
            for identity in issue.identifiers.cve or (issue.id,):
                yield Finding(
                    kind="vulnerability",
                    id=identity,
                    severity=_severity(issue.severity),
                    scanner=NAME,
                    package=issue.package,
                    installed=issue.version,
                    fixed=issue.nearest or ", ".join(issue.fixed),
                    title=issue.title,
                    where=project.file or project.manager,
                )


def _severity(text: str) -> Severity:
    try:
        return TypeAdapter(Severity).validate_python(text.upper())
    except ValidationError:
        return "UNKNOWN"


def _broken(what: str, why: str) -> ScanError:
    return ScanError(
        f"Snyk did not get to the end of the scan: {what}; there is no result",
        where="this machine",
        why=why,
        remedy=f"Check {TOKEN} and the way to api.snyk.io; without {TOKEN} only the scanners of scan.scanners run.",
    )
