"""[scan]: what an image may not have in it, and which findings are accepted for now."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from portside.config.base import Model, Seconds

Severity = Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
ScannerName = Literal["trivy", "snyk"]
Age = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}[hdw]$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Ignore(Model):
    """A finding that is accepted up to and including the day `expires`, and why.

    `id` is the finding's (`CVE-2024-1135`, `DS-0026`, `AGPL-3.0-only`), in `package` alone where that is named: a
    package, or for a secret the file that it is in.
    """

    id: Text
    reason: Text
    expires: date
    package: Text | None = None

    @field_validator("expires", mode="before")
    @classmethod
    def _day(cls, value: object) -> object:
        # TOML has dates of its own; a number would be taken for seconds since 1970.
        if isinstance(value, (date, str)):
            return value
        raise ValueError("it is a date like 2027-03-31")


class Scan(Model):
    """What makes an image fail its scan. `timeout` is in seconds and bounds one run of one scanner."""

    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = ("HIGH", "CRITICAL")
    fixed_only: bool = True
    secrets: bool = True
    misconfigurations: bool = True
    forbidden_licenses: tuple[Text, ...] = ("AGPL-*", "SSPL-*", "BUSL-*")
    max_age: Age = "7d"
    scanners: Annotated[tuple[ScannerName, ...], Field(min_length=1)] = ("trivy",)
    db: Path | None = None
    timeout: Seconds = 600
    ignore: tuple[Ignore, ...] = ()

    @property
    def newest(self) -> timedelta:
        """`max_age`: how old a scan may be that lets an image be deployed."""
        return int(self.max_age[:-1]) * UNITS[self.max_age[-1]]
