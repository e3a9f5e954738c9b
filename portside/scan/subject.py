"""The image to scan, as a file: saved by the local Engine, or by the Engine of a host.

An archive needs neither a registry nor the Engine's socket, which Trivy only finds in the usual places; and what was
scanned is then exactly what has that digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from portside.command import run_command, tail
from portside.errors import ScanError
from portside.host.base import Host
from portside.image.reference import parse_reference
from portside.release import Image
from portside.scan.base import Subject

QUESTION_SECONDS = 30.0
SAVE_SECONDS = 600.0
PULL_SECONDS = 900.0
# No scan takes a day: its time-outs end it long before.
LEFT_SECONDS = 24 * 3600
PREFIX = "scan-"


@asynccontextmanager
async def scratch(cache: Path) -> AsyncIterator[Path]:
    """A folder in `cache` for one scan, closed to others, removed afterwards."""
    await asyncio.to_thread(_tidy, cache)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=cache) as name:
        yield Path(name)


def _tidy(cache: Path) -> None:
    """Make `cache`, without what scans left in it that were killed: each left an image."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in cache.glob(f"{PREFIX}*"):
        if time.time() - left.stat().st_mtime > LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


async def saved_here(reference: str, folder: Path) -> Subject:
    """The image that the local Engine knows as `reference`, pulled first where only a registry has it.

    Raises ScanError.
    """
    known = await _inspected(reference)
    if known is None and "@sha256:" in reference:
        pulled = await run_command(["docker", "pull", "--quiet", reference], timeout=PULL_SECONDS)
        if pulled.exit_code != 0:
            raise _absent(reference, tail(pulled.stderr or pulled.stdout, 3))
        known = await _inspected(reference)
    if known is None:
        raise _absent(reference, "")
    identity, published = known
    archive = folder / "image.tar"
    save = ["docker", "save", "--output", str(archive), parse_reference(reference).one]
    saved = await run_command(save, timeout=SAVE_SECONDS)
    saved.check(f"the image {reference} could not be saved")
    configuration, *_ = await asyncio.to_thread(archive_digests, archive)
    digests = (configuration, identity, *(name.rpartition("@")[2] for name in published))
    return Subject(reference, archive, tuple(dict.fromkeys(digests)), published)


async def saved_there(host: Host, image: Image, folder: Path, *, timeout: float) -> Subject:
    """The image of a release as a host has it, over its connection. `timeout` is in seconds. Raises ScanError."""
    saved = await host.run(["docker", "save", image.reference], timeout=timeout)
    if saved.exit_code != 0:
        raise ScanError(
            f"the image {image.reference} could not be read from the host",
            where=host.name,
            why=tail(saved.stderr, 3),
            remedy=f"See there: docker image inspect {image.reference}",
        )
    archive = folder / "image.tar"
    await asyncio.to_thread(archive.write_bytes, saved.stdout)
    configuration, *manifests = await asyncio.to_thread(archive_digests, archive)
    digests = [configuration]
    # What the release's record calls it counts where the archive bears it out, and for nothing otherwise.
    if image.id in manifests:
        digests.append(image.id)
    # The Engine there pulled such a reference by its digest, and so has checked that it is that image.
    published = (image.reference,) if "@sha256:" in image.reference else ()
    digests += [name.rpartition("@")[2] for name in published]
    return Subject(image.reference, archive, tuple(dict.fromkeys(digests)), published)


def archive_digests(archive: Path) -> list[str]:
    """The digest of the configuration of the one image in `archive`, then those of its manifests.

    Raises ScanError when there isn't one.
    """
    try:
        with tarfile.open(archive) as tar:
            (manifest,) = json.loads(_content(tar, "manifest.json"))
            configuration = hashlib.sha256(_content(tar, manifest["Config"])).hexdigest()
            index = json.loads(_content(tar, "index.json")) if "index.json" in tar.getnames() else {"manifests": []}
            return [f"sha256:{configuration}", *(entry["digest"] for entry in index["manifests"])]
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise ScanError(
            "what `docker save` wrote is no archive of one image", where=str(archive), why=str(error)
        ) from None


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()


async def _inspected(reference: str) -> tuple[str, tuple[str, ...]] | None:
    """The Engine's id of an image and the digests that registries gave it; None where it isn't here."""
    form = "[{{json .Id}},{{json .RepoDigests}}]"
    argv = ["docker", "image", "inspect", "--format", form, reference]
    result = await run_command(argv, timeout=QUESTION_SECONDS)
    if result.exit_code != 0:
        return None
    identity, published = json.loads(result.text)
    return identity, tuple(published or ())


def _absent(reference: str, why: str) -> ScanError:
    return ScanError(
        f"the image {reference} is not here, so nothing was scanned",
        where="this machine",
        why=why,
        remedy="`docker image ls` names those that are; `invoke build` builds the service's.",
    )
