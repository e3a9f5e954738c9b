"""May this image be released here? What an environment demands of it, before anything changes on a host."""

from __future__ import annotations

from collections.abc import Mapping

from portside.config import Config, Environment
from portside.release import Image
from portside.scan.gate import doubt, known, require_passing
from portside.scan.show import scan_summary
from portside.signing import require_signature

SCAN_FILE = "scan.json"


async def admitted(config: Config, environment: Environment, image: Image) -> Mapping[str, str]:
    """Raise what the environment has against `image`; else the files that tell of it, for the release's directory."""
    if environment.require_signature:
        await require_signature(config, environment, image)
    record = await require_passing(config, environment, image) if environment.require_scan else known(config, image)
    return {SCAN_FILE: scan_summary(record, config.scan)} if record else {}


def doubts(config: Config, environment: Environment, image: Image) -> tuple[str, ...]:
    """What `admitted` might have had against an old release, a line each. A rollback says so, and goes on.

    Only what this machine knows is looked at: an emergency doesn't wait for a registry or a scanner.
    """
    unscanned = doubt(config, image) if environment.require_scan else ""
    return (f"{image.reference}: {unscanned}; a rollback is not held up by that",) if unscanned else ()
