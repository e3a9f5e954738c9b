"""An image as pieces ready for the wire: saved and compressed once, put together per host.

`docker save` writes a tar of blobs. Each of its members, header and padding included, is kept as a gzip
stream of its own. Gzip streams may be concatenated, and so may tar members: any choice of pieces, one after
the other, is again an archive that `docker load` reads. A layer that images share is compressed once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from portside.command import run_command
from portside.errors import BuildError
from portside.image.reference import parse_reference
from portside.image.turns import turn

SAVE_SECONDS = 600.0
# Measured on 97 MiB of image: level 1 takes 1.2 s and leaves 40 %; level 6 takes 4 s more for 3 % less.
GZIP_LEVEL = 1
KEPT_IMAGES = 3
# Whoever sends one now, from this process or another, is done long before.
SPARED_SECONDS = 24 * 3600
CHUNK = 1 << 20
END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)

_INDEX_SUFFIX = ".image.json"
_SCRATCH_PREFIX = "saving-"


@dataclass(frozen=True)
class Piece:
    """One member of the archive: its compressed form in the cache, `size` in bytes, the layer it holds."""

    name: str
    file: str
    size: int
    diff: str = ""


@dataclass(frozen=True)
class Archive:
    """An image in the cache. `ids` are what an Engine may call it: by its configuration or its manifest."""

    reference: str
    ids: tuple[str, ...]
    pieces: tuple[Piece, ...]
    folder: Path

    def chosen(self, layers: Collection[str]) -> tuple[Piece, ...]:
        """The pieces to send when of all layers only `layers` (diff ids) are wanted."""
        return tuple(piece for piece in self.pieces if not piece.diff or piece.diff in layers)

    def stream(self, pieces: Collection[Piece]) -> Iterator[bytes]:
        """The archive of `pieces`, compressed, in chunks. Raises BuildError for one that can't be read."""
        for piece in pieces:
            try:
                with (self.folder / piece.file).open("rb") as file:
                    while chunk := file.read(CHUNK):
                        yield chunk
            except OSError as error:
                raise BuildError(
                    f"a part of {self.reference} can't be read any more",
                    where=str(self.folder / piece.file),
                    why=str(error),
                    remedy="Type it again: what is missing is made anew.",
                ) from None
        yield gzip.compress(END_OF_TAR, GZIP_LEVEL)


async def archive_image(reference: str, image_id: str, layers: tuple[str, ...], cache: Path) -> Archive:
    """The image as an Archive in `cache` (made 0700), saved from the local Engine unless it is there already.

    The cache keeps the KEPT_IMAGES latest images, and those that were asked for within SPARED_SECONDS.
    """
    folder = cache / "images"
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    index = folder / f"{hashlib.sha256(f'{reference} {image_id}'.encode()).hexdigest()[:32]}{_INDEX_SUFFIX}"
    async with turn(f"the image cache {folder}", folder=folder, timeout=SAVE_SECONDS):
        known = _known(index, folder)
        if known:
            return known
        # Whoever had the turn before and was killed left a whole image there.
        for left in folder.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        _drop_damaged(folder)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=folder) as scratch:
            whole = Path(scratch) / "image.tar"
            save = ["docker", "save", "--output", str(whole), parse_reference(reference).one]
            (await run_command(save, timeout=SAVE_SECONDS)).check(f"the image {reference} could not be saved")
            # In a thread, for it takes a second, and leases have to be renewed meanwhile.
            archive = await asyncio.to_thread(take_apart, whole, reference, image_id, layers, folder)
            draft = Path(scratch) / "index.json"
            draft.write_text(json.dumps({**asdict(archive), "folder": ""}))
            draft.rename(index)
        _prune(folder)
    return archive


def take_apart(whole: Path, reference: str, image_id: str, layers: tuple[str, ...], folder: Path) -> Archive:
    """Compress each member of the tar `whole` into `folder`, unless a piece of the same content is there.

    Drafts lie beside `whole`, and go with it.
    """
    with tarfile.open(whole, "r:") as tar, whole.open("rb") as raw:
        (manifest,) = json.loads(_read(tar, "manifest.json"))
        names = tar.getnames()
        index = json.loads(_read(tar, "index.json")) if "index.json" in names else {"manifests": []}
        diffs = dict(zip(manifest["Layers"], layers, strict=True))
        pieces = []
        for member in tar.getmembers():
            digest = member.name.removeprefix("blobs/sha256/")
            own = f"{image_id} {reference} {member.name}"
            known_content = digest != member.name and len(digest) == 64
            file = f"{digest if known_content else hashlib.sha256(own.encode()).hexdigest()}.gz"
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if not (folder / file).exists():
                _compress(raw, member.offset, end, whole.with_name(file), folder / file)
            pieces.append(Piece(member.name, file, (folder / file).stat().st_size, diffs.get(member.name, "")))
    config = Path(manifest["Config"]).name.removesuffix(".json")
    manifests = (entry["digest"] for entry in index["manifests"])
    ids = dict.fromkeys((image_id, f"sha256:{config}", *manifests))
    return Archive(reference, tuple(ids), tuple(pieces), folder)


def _known(index: Path, folder: Path) -> Archive | None:
    """What the cache holds under `index`, if all of it is there; touched, so that pruning spares it."""
    kept = _kept(index)
    if kept is None or not all(_has(folder, piece) for piece in kept.pieces):
        return None
    index.touch()
    return replace(kept, folder=folder)


def _kept(index: Path) -> Archive | None:
    """What `index` says; None where there is none, or a power cut left something else."""
    try:
        data = json.loads(index.read_text())
        return Archive(
            data["reference"], tuple(data["ids"]), tuple(Piece(**piece) for piece in data["pieces"]), index.parent
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _has(folder: Path, piece: Piece) -> bool:
    try:
        return (folder / piece.file).stat().st_size == piece.size
    except FileNotFoundError:
        return False


def _drop_damaged(folder: Path) -> None:
    """Remove the pieces whose size isn't what the indexes say: an image that shares a layer would take one for whole.

    What indexes don't agree on goes too, and what none of those that can be read knows.
    """
    said: dict[str, set[int]] = {}
    for index in folder.glob(f"*{_INDEX_SUFFIX}"):
        kept = _kept(index)
        for piece in kept.pieces if kept else ():
            said.setdefault(piece.file, set()).add(piece.size)
    for file in folder.glob("*.gz"):
        if said.get(file.name) != {file.stat().st_size}:
            file.unlink()


def _prune(folder: Path) -> None:
    """Forget all images but the latest and those of today, and the pieces that none of them needs."""
    indexes = sorted(folder.glob(f"*{_INDEX_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
    needed: set[str] = set()
    for number, index in enumerate(indexes):
        kept = _kept(index)
        if kept is None or (number >= KEPT_IMAGES and time.time() - index.stat().st_mtime > SPARED_SECONDS):
            index.unlink()
        else:
            needed.update(piece.file for piece in kept.pieces)
    for file in folder.glob("*.gz"):
        if file.name not in needed:
            file.unlink()


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise BuildError(f"`docker save` wrote an archive without {name}", where="this machine")
    return member.read()


def _compress(raw: IO[bytes], start: int, end: int, draft: Path, target: Path) -> None:
    """Write raw[start:end] as a gzip stream; `target` appears when it is complete."""
    raw.seek(start)
    left = end - start
    with gzip.GzipFile(draft, "wb", GZIP_LEVEL, mtime=0) as file:
        while left:
            chunk = raw.read(min(left, CHUNK))
            if not chunk:
                raise BuildError("`docker save` wrote an archive that ends too early", where="this machine")
            file.write(chunk)
            left -= len(chunk)
    # What has its name is whole, after a power cut as well: other images take it for their own layer.
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.rename(target)
