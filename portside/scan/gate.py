"""What a scan forbids: pushing an image that failed, deploying one that hasn't passed lately.

A record keeps findings, and they are judged anew each time: by what portside.toml accepts now, and by the day.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from portside.config import Config, Environment
from portside.errors import BuildError, ScanError
from portside.image.registry import variables_for
from portside.release import Image
from portside.scan.attached import attach_record, attached_record
from portside.scan.findings import TRIVY, Record
from portside.scan.policy import judge, wanted
from portside.scan.show import WORDS
from portside.scan.store import Store

SHOWN = 10

Say = Callable[[str], None]


async def refuse_failed(config: Config, environment: Environment, image: Image, *, now: datetime | None = None) -> None:
    """Raise ScanError when there is a record of this very image, and it fails. An image without one may be pushed."""
    record = known(config, image)
    if record is not None:
        _insist(record, config, environment, image, now or datetime.now(UTC), doing="pushed")


async def require_passing(
    config: Config, environment: Environment, image: Image, *, now: datetime | None = None
) -> Record:
    """The passing record of exactly this image, younger than `scan.max_age`. Raises ScanError when there is none.

    It is looked for on this machine; where it isn't here or is too old, among what is attached to the image in its
    registry.
    """
    now = now or datetime.now(UTC)
    record, trouble = known(config, image), ""
    if (record is None or _old(record, config, now) or _silent(record, config)) and "@sha256:" in image.reference:
        try:
            lent = variables_for(image.reference, environment.registry, os.environ)
            remote = await attached_record(image.reference, lent)
        except BuildError as error:
            remote, trouble = None, str(error)
        if remote is not None and (record is None or _better(remote, record, config)):
            record = remote
    scan = f"Type: invoke scan --env {environment.name} --image {image.reference}"
    if record is None:
        raise ScanError(
            f"no scan of {image.reference} is known, and {environment.name} demands one",
            where=f"portside.toml: env.{environment.name}.require_scan",
            why=trouble,
            remedy=scan,
        )
    _insist(record, config, environment, image, now, doing="deployed")
    if silent := _silent(record, config):
        raise ScanError(
            f"the last scan of {image.reference} is without {', '.join(silent)}, which is asked for by now",
            where="portside.toml: scan",
            remedy=scan,
        )
    if _old(record, config, now):
        raise ScanError(
            f"the last scan of {image.reference} is of {record.scanned:%Y-%m-%d %H:%M} UTC, older than "
            f"{config.scan.max_age}",
            where=f"portside.toml: env.{environment.name}.require_scan, scan.max_age",
            why=trouble,
            remedy=scan,
        )
    return record


def known(config: Config, image: Image) -> Record | None:
    """The record of exactly this image on this machine."""
    return Store(config.root).find((image.reference.partition("@")[2], image.id))


def doubt(config: Config, image: Image, *, now: datetime | None = None) -> str:
    """Why `image` would not be let through, as far as this machine knows; empty when it would."""
    now = now or datetime.now(UTC)
    record = known(config, image)
    if record is None:
        return "no scan of it is known on this machine"
    reasons = judge(record.findings, config.scan, now.date()).reasons
    if reasons:
        return f"it fails its scan: {reasons[0]}" + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")
    if silent := _silent(record, config):
        return f"its scan is without {', '.join(silent)}"
    return f"its scan is older than {config.scan.max_age}" if _old(record, config, now) else ""


async def bind(config: Config, image: Image, reference: str, say: Say, *, now: datetime | None = None) -> None:
    """After a push of `image` that gave it `reference` (`registry/name@sha256:…`): its record holds for that as well.

    The record is also attached in the registry. A registry that can't, or won't, is told of and nothing more: the
    image is where it should be.
    """
    record = known(config, image)
    if record is None:
        return
    store = Store(config.root)
    record = record.bound(reference)
    reports = store.reports(record)
    store.save(record, reports)
    verdict = judge(record.findings, config.scan, (now or datetime.now(UTC)).date())
    try:
        await attach_record(record, reports, reference, verdict="passed" if verdict.passed else "failed")
        say(f"attached the scan of {record.scanned:%Y-%m-%d %H:%M} UTC and the SBOM to {reference}")
    except BuildError as error:
        say(f"the scan could not be attached to {reference}: {error.what} {error.why}".strip())


def _old(record: Record, config: Config, now: datetime) -> bool:
    return now - record.scanned > config.scan.newest


def _silent(record: Record, config: Config) -> list[str]:
    """Of those that have to agree, who was not asked; and what was not looked for, as a person says it."""
    missing = sorted(set(config.scan.scanners) - {run.scanner for run in record.runs})
    looked = {kind for run in record.runs for kind in run.kinds}
    # Where Trivy isn't asked, nobody can look for more than vulnerabilities.
    asked = wanted(config.scan) if TRIVY in config.scan.scanners and TRIVY not in missing else ()
    return missing + [f"a look for {WORDS[kind][1]}" for kind in asked if kind not in looked]


def _better(record: Record, than: Record, config: Config) -> bool:
    return (not _silent(record, config), record.scanned) > (not _silent(than, config), than.scanned)


def _insist(
    record: Record, config: Config, environment: Environment, image: Image, now: datetime, *, doing: str
) -> None:
    verdict = judge(record.findings, config.scan, now.date())
    if verdict.passed:
        return
    reasons = verdict.reasons
    more = [f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []
    raise ScanError(
        f"{image.reference} failed its scan of {record.scanned:%Y-%m-%d %H:%M} UTC and is not {doing}",
        where=environment.name,
        why="\n".join([*reasons[:SHOWN], *more]),
        remedy="Update what is named, build and scan again; or accept it for a while with a reason: docs/scanning.md",
    )
