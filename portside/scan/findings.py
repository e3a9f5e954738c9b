"""What a scan found, as values: one finding, one scanner's run, and the record that is bound to an image's digests."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from portside.config import Severity

Kind = Literal["vulnerability", "secret", "misconfiguration", "license"]
# What the scanner that always takes part is called in a Run.
TRIVY = "trivy"
# Worst first.
SEVERITIES: tuple[Severity, ...] = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")


class Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finding(Value):
    """One thing that a scanner found.

    `package` is what it is in: a package, or the file that holds a secret. `fixed` is the version without it, empty
    where there is none. A secret's own text is in no field.
    """

    kind: Kind
    id: str
    severity: Severity
    scanner: str
    package: str = ""
    installed: str = ""
    fixed: str = ""
    title: str = ""
    where: str = ""


class Run(Value):
    """One scanner's run: of `packages`, with a database of the day `advisories`, where it tells.

    `kinds` is what was looked for, found or not. A record of before it was kept is good for vulnerabilities alone.
    """

    scanner: str
    version: str
    packages: int
    kinds: tuple[Kind, ...] = ("vulnerability",)
    advisories: datetime | None = None


class Record(Value):
    """A scan of one image, as `record.json` holds it.

    `digests` are all under which that very image is known: of its configuration first, then of its manifests.
    `published` are the references `registry/name@sha256:…` that registries gave it.
    """

    image: str
    digests: tuple[str, ...]
    published: tuple[str, ...] = ()
    scanned: datetime
    system: str = ""
    runs: tuple[Run, ...]
    findings: tuple[Finding, ...]

    def bound(self, published: str) -> Record:
        """The same record, bound to the reference `registry/name@sha256:…` that a push of the image gave it."""
        digest = published.rpartition("@")[2]
        return self.model_copy(
            update={
                "digests": tuple(dict.fromkeys((*self.digests, digest))),
                "published": tuple(dict.fromkeys((*self.published, published))),
            }
        )
