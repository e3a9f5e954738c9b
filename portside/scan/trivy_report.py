"""Trivy's JSON report, read: what was found, in how many packages, of which system.

https://trivy.dev/docs/latest/configuration/reporting/#json, schema version 2. Unknown keys are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from portside.config import Severity
from portside.scan.base import Report, Subject
from portside.scan.findings import TRIVY, Finding, Kind, Run


class Vulnerability(BaseModel):
    id: str = Field(alias="VulnerabilityID")
    package: str = Field(alias="PkgName")
    path: str = Field("", alias="PkgPath")
    installed: str = Field("", alias="InstalledVersion")
    fixed: str = Field("", alias="FixedVersion")
    title: str = Field("", alias="Title")
    severity: Severity = Field("UNKNOWN", alias="Severity")


class Secret(BaseModel):
    id: str = Field(alias="RuleID")
    title: str = Field("", alias="Title")
    line: int = Field(0, alias="StartLine")
    severity: Severity = Field("UNKNOWN", alias="Severity")


class Misconfiguration(BaseModel):
    id: str = Field(alias="ID")
    title: str = Field("", alias="Title")
    status: str = Field("FAIL", alias="Status")
    severity: Severity = Field("UNKNOWN", alias="Severity")


class License(BaseModel):
    name: str = Field(alias="Name")
    package: str = Field("", alias="PkgName")
    path: str = Field("", alias="FilePath")
    severity: Severity = Field("UNKNOWN", alias="Severity")


def _some(value: object) -> object:
    # Go writes an empty list as null.
    return value or ()


Vulnerabilities = Annotated[tuple[Vulnerability, ...], BeforeValidator(_some)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_some)]
Misconfigurations = Annotated[tuple[Misconfiguration, ...], BeforeValidator(_some)]
Licenses = Annotated[tuple[License, ...], BeforeValidator(_some)]
Packages = Annotated[tuple[object, ...], BeforeValidator(_some)]


class Result(BaseModel):
    target: str = Field("", alias="Target")
    packages: Packages = Field((), alias="Packages")
    vulnerabilities: Vulnerabilities = Field((), alias="Vulnerabilities")
    secrets: Secrets = Field((), alias="Secrets")
    misconfigurations: Misconfigurations = Field((), alias="Misconfigurations")
    licenses: Licenses = Field((), alias="Licenses")


class System(BaseModel):
    family: str = Field("", alias="Family")
    name: str = Field("", alias="Name")


class Metadata(BaseModel):
    system: System = Field(System(), alias="OS")


class Program(BaseModel):
    version: str = Field("", alias="Version")


class Document(BaseModel):
    schema_version: Literal[2] = Field(alias="SchemaVersion")
    program: Program = Field(Program(), alias="Trivy")
    metadata: Metadata = Field(Metadata(), alias="Metadata")
    results: Annotated[tuple[Result, ...], BeforeValidator(_some)] = Field((), alias="Results")


def tidied(text: bytes, subject: Subject) -> bytes:
    """The report with the image's name and digests in place of its temporary file's, and without anything secret.

    Trivy blots out a secret that it found, and shows the lines around it, where the next one may be. The report goes
    to more people than the image, so those lines are left out, and what the image's configuration says.
    Raises ValueError when it is no report.
    """
    document = json.loads(text)
    file = str(document["ArtifactName"])
    document["ArtifactName"] = subject.reference
    for result in document.get("Results") or ():
        for name in (file, Path(file).name):
            if result["Target"].startswith(name):
                result["Target"] = subject.reference + result["Target"].removeprefix(name)
                break
        for secret in result.get("Secrets") or ():
            secret["Match"], secret["Code"] = "", {"Lines": None}
    metadata = document.setdefault("Metadata", {})
    metadata.pop("ImageConfig", None)
    metadata["RepoDigests"] = list(subject.published)
    return json.dumps(document).encode()


def read_report(text: bytes, *, kinds: tuple[Kind, ...], advisories: datetime | None) -> Report:
    """The report `text` of a scan for `kinds` as values.

    Raises pydantic.ValidationError when it isn't one of the known schema.
    """
    document = Document.model_validate_json(text)
    packages = sum(len(result.packages) for result in document.results)
    system = document.metadata.system
    return Report(
        run=Run(scanner=TRIVY, version=document.program.version, packages=packages, kinds=kinds, advisories=advisories),
        findings=tuple(dict.fromkeys(_findings(document))),
        system=f"{system.family} {system.name}".strip() if system.family != "none" else "",
    )


def _findings(document: Document) -> Iterator[Finding]:
    for result in document.results:
        for flaw in result.vulnerabilities:
            yield Finding(
                kind="vulnerability",
                id=flaw.id,
                severity=flaw.severity,
                scanner=TRIVY,
                package=flaw.package,
                installed=flaw.installed,
                fixed=flaw.fixed,
                title=flaw.title,
                where=flaw.path or result.target,
            )
        for secret in result.secrets:
            yield Finding(
                kind="secret",
                id=secret.id,
                severity=secret.severity,
                scanner=TRIVY,
                package=result.target,
                title=secret.title,
                where=f"{result.target}:{secret.line}" if secret.line else result.target,
            )
        for mistake in result.misconfigurations:
            if mistake.status == "FAIL":
                yield Finding(
                    kind="misconfiguration",
                    id=mistake.id,
                    severity=mistake.severity,
                    scanner=TRIVY,
                    title=mistake.title,
                    where=result.target,
                )
        for license in result.licenses:
            yield Finding(
                kind="license",
                id=license.name,
                severity=license.severity,
                scanner=TRIVY,
                package=license.package,
                where=license.path or result.target,
            )
