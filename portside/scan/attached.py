"""Records in the registry, beside the image: for the machine that deploys and never scanned."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import ValidationError

from portside.scan.base import CYCLONEDX, JSON, SARIF
from portside.scan.findings import Record
from portside.scan.store import RECORD, TABLE

RECORD_TYPE = "application/vnd.portside.scan.v1+json"
SBOM = "sbom.cdx.json"
# The SBOM is an artifact of its own, under the type by which other tools look for one.
TYPES = {RECORD: JSON, TABLE: "text/plain", SBOM: CYCLONEDX}
NEWEST = 3


async def attach_record(record: Record, reports: Mapping[str, bytes], published: str, *, verdict: str) -> None:
    """Attach `record` with its reports, and the SBOM, to the image `registry/name@sha256:…`. Raises BuildError."""
    from portside.image.referrers import attach  # noqa: PLC0415 - only where a registry is asked is its client loaded

    noted = {
        "org.opencontainers.image.created": record.scanned.isoformat(),
        "dev.portside.scan.verdict": verdict,
    }
    files = {RECORD: record.model_dump_json().encode(), **reports}
    typed = {name: (_type(name), content) for name, content in files.items() if name != SBOM}
    await attach(published, artifact_type=RECORD_TYPE, files=typed, annotations=noted)
    if SBOM in reports:
        created = {"org.opencontainers.image.created": record.scanned.isoformat()}
        await attach(published, artifact_type=CYCLONEDX, files={SBOM: (CYCLONEDX, reports[SBOM])}, annotations=created)


async def attached_record(published: str, environ: Mapping[str, str] = os.environ) -> Record | None:
    """The newest record that is attached to the image `registry/name@sha256:…` and bound to that very digest.

    Raises BuildError when the registry can't be asked.
    """
    from portside.image.referrers import attached  # noqa: PLC0415 - as above

    digest = published.rpartition("@")[2]
    found = []
    for artifact in (await attached(published, RECORD_TYPE, environ))[:NEWEST]:
        try:
            record = Record.model_validate_json(await artifact.read(RECORD))
        except ValidationError:
            continue
        if digest in record.digests:
            found.append(record)
    return max(found, key=lambda record: record.scanned, default=None)


def _type(name: str) -> str:
    return TYPES.get(name, SARIF if name.endswith(".sarif") else JSON)
