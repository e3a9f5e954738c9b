"""Trivy's database of advisories: fetched by Trivy itself, or a copy that somebody brought here."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from portside.command import run_command, tail
from portside.errors import ScanError
from portside.image.turns import turn

SCHEMA = 2
DATABASE, METADATA = "trivy.db", "metadata.json"
FETCH_SECONDS = 300.0
MIRROR = (
    "Where ghcr.io and mirror.gcr.io can't be reached, bring a copy of the database here (docs/scanning.md) and name "
    "it with --db PATH, or as scan.db in portside.toml."
)


def _microseconds(moment: object) -> object:
    # Go writes nanoseconds, which Python's datetime has no room for.
    if isinstance(moment, str) and "." in moment:
        whole, _, rest = moment.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        return f"{whole}.{digits[:6]}{rest[len(digits) :]}"
    return moment


class Metadata(BaseModel):
    """`metadata.json`: the format's version, and when the advisories were gathered."""

    version: int = Field(alias="Version")
    updated: Annotated[datetime, BeforeValidator(_microseconds)] = Field(alias="UpdatedAt")


async def fetch(program: Path, cache: Path, environ: Mapping[str, str]) -> datetime:
    """Have Trivy bring its database in `cache` up to date; when its advisories were gathered. Raises ScanError."""
    await asyncio.to_thread(cache.mkdir, mode=0o700, parents=True, exist_ok=True)
    argv = [str(program), "image", "--download-db-only", "--cache-dir", str(cache), "--config", "", "--no-progress"]
    async with turn("trivy's database", folder=cache, timeout=FETCH_SECONDS):
        result = await run_command(
            [*argv, "--disable-telemetry", "--skip-version-check"], timeout=FETCH_SECONDS, env=environ, inherit=False
        )
    if result.exit_code != 0:
        raise ScanError(
            "Trivy's database of advisories can't be fetched, so nothing was scanned",
            where="this machine",
            why=tail(result.stderr or result.stdout, 5),
            remedy=MIRROR,
        )
    return _gathered(cache / "db")


def adopt(source: Path, cache: Path) -> datetime:
    """Make the copy `source` the database of the empty folder `cache`; when its advisories were gathered.

    `source` is a folder with trivy.db and metadata.json, or a tar of the two. Raises ScanError.
    """
    folder = cache / "db"
    folder.mkdir(mode=0o700, parents=True)
    if source.is_dir():
        for name in (DATABASE, METADATA):
            if not (source / name).is_file():
                raise _unfit(source, f"there is no {name} in it")
        # Linked by itself, for it is large; and Trivy removes a damaged one, which then is the link.
        (folder / DATABASE).symlink_to((source / DATABASE).resolve())
        shutil.copyfile(source / METADATA, folder / METADATA)
    elif source.is_file():
        _unpack(source, folder)
    else:
        raise _unfit(source, "there is no such file or folder")
    return _gathered(folder, source)


def _unpack(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source) as tar:
            members = {Path(member.name).name: member for member in tar if member.isfile()}
            for name in (DATABASE, METADATA):
                if name not in members:
                    raise _unfit(source, f"there is no {name} in it")
                content = tar.extractfile(members[name])
                with (folder / name).open("wb") as file:
                    if content is not None:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _unfit(source, f"it can't be unpacked: {error}") from None


def _gathered(folder: Path, source: Path | None = None) -> datetime:
    try:
        metadata = Metadata.model_validate_json((folder / METADATA).read_bytes())
    except (OSError, ValidationError) as error:
        raise _unfit(source or folder, f"its {METADATA} can't be read: {error}") from None
    if metadata.version != SCHEMA:
        raise _unfit(source or folder, f"it is of schema version {metadata.version}, not {SCHEMA}")
    return metadata.updated


def _unfit(source: Path, why: str) -> ScanError:
    return ScanError(
        "this is no database that Trivy can read, so nothing was scanned",
        where=str(source),
        why=why,
        remedy=f"Name a folder with {DATABASE} and {METADATA}, or the db.tar.gz with both: docs/scanning.md",
    )
