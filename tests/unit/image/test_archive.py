"""Any choice of pieces is an archive that `docker load` reads."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from portside.errors import BuildError
from portside.image import archive as subject
from portside.image.archive import Archive, Piece, take_apart

CONFIG = "c" * 64
LAYERS = {f"sha256:{letter * 64}": os.urandom(3000 + index) for index, letter in enumerate("de")}


def saved(folder: Path, extra: dict[str, bytes] | None = None) -> Path:
    """What `docker save` writes, in small."""
    blobs = {f"blobs/sha256/{diff[7:]}": content for diff, content in LAYERS.items()}
    manifest = [{"Config": f"blobs/sha256/{CONFIG}", "RepoTags": ["app:1"], "Layers": list(blobs)}]
    members = {
        **blobs,
        f"blobs/sha256/{CONFIG}": b"{}",
        "index.json": json.dumps({"manifests": [{"digest": "sha256:" + "f" * 64}]}).encode(),
        "manifest.json": json.dumps(manifest).encode(),
        **(extra or {}),
    }
    path = folder / "saved.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def apart(folder: Path, name: str = "app:1") -> Archive:
    pieces = folder / "pieces"
    pieces.mkdir(exist_ok=True)
    return take_apart(saved(folder), name, f"sha256:{CONFIG}", tuple(LAYERS), pieces)


def read(archive: Archive, layers: set[str]) -> dict[str, bytes]:
    raw = gzip.decompress(b"".join(archive.stream(archive.chosen(layers))))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}


def test_all_pieces_together_are_what_was_saved(tmp_path: Path) -> None:
    contents = read(apart(tmp_path), set(LAYERS))
    with tarfile.open(tmp_path / "saved.tar") as tar:
        assert list(contents) == tar.getnames()
    assert [contents[f"blobs/sha256/{diff[7:]}"] for diff in LAYERS] == list(LAYERS.values())


def test_a_layer_left_out_takes_only_its_file_along(tmp_path: Path) -> None:
    first, second = LAYERS
    contents = read(apart(tmp_path), {second})
    assert f"blobs/sha256/{first[7:]}" not in contents
    assert contents[f"blobs/sha256/{second[7:]}"] == LAYERS[second]
    assert {"manifest.json", "index.json", f"blobs/sha256/{CONFIG}"} <= set(contents)


def test_an_engine_may_know_the_image_by_configuration_or_by_manifest(tmp_path: Path) -> None:
    assert apart(tmp_path).ids == (f"sha256:{CONFIG}", "sha256:" + "f" * 64)


def test_a_layer_that_images_share_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart(tmp_path)
    written = []
    compress = subject._compress
    monkeypatch.setattr(
        subject,
        "_compress",
        lambda raw, start, end, *paths: (written.append(end - start), compress(raw, start, end, *paths)),
    )
    apart(tmp_path, "app:2")
    assert sum(written) < min(len(content) for content in LAYERS.values()) * 2


def test_an_archive_that_was_cut_short_is_refused_and_leaves_no_piece(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with path.open("rb") as raw, pytest.raises(BuildError, match="ends too early"):
        subject._compress(raw, 0, path.stat().st_size + 512, tmp_path / "draft", tmp_path / "piece.gz")
    assert not (tmp_path / "piece.gz").exists()


def keep(folder: Path, name: str, age: float) -> None:
    """An image in the cache, asked for `age` seconds ago: a piece of its own, and one that all share."""
    pieces = [{"name": "x", "file": file, "size": 0, "diff": ""} for file in ("shared.gz", f"{name}.gz")]
    for piece in pieces:
        (folder / str(piece["file"])).touch()
    index = folder / f"{name}{subject._INDEX_SUFFIX}"
    index.write_text(json.dumps({"reference": name, "ids": [], "pieces": pieces}))
    os.utime(index, (time.time() - age, time.time() - age))


def pieces_left(folder: Path) -> list[str]:
    subject._prune(folder)
    return sorted(path.stem for path in folder.glob("*.gz"))


def test_pruning_keeps_the_latest_images_and_their_pieces(tmp_path: Path) -> None:
    for days in range(1, subject.KEPT_IMAGES + 3):
        keep(tmp_path, f"own-{days}", days * subject.SPARED_SECONDS + 60)
    assert pieces_left(tmp_path) == ["own-1", "own-2", "own-3", "shared"]


def test_pruning_spares_what_may_be_on_its_way_to_a_slow_host(tmp_path: Path) -> None:
    names = [f"own-{number}" for number in range(subject.KEPT_IMAGES + 2)]
    for name in names:
        keep(tmp_path, name, 900)
    assert pieces_left(tmp_path) == [*names, "shared"]


@pytest.mark.parametrize("damage", ["", "[]", '{"reference": "x"}'])
def test_an_index_that_a_power_cut_left_is_as_none(tmp_path: Path, damage: str) -> None:
    keep(tmp_path, "whole", 0)
    index = tmp_path / f"damaged{subject._INDEX_SUFFIX}"
    index.write_text(damage)
    assert subject._known(index, tmp_path) is None
    assert pieces_left(tmp_path) == ["shared", "whole"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's stand-in, which saves the archive; the cache of a project beside it."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncp {saved(tmp_path)} "$3"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path / "cache"


async def archived(name: str, cache: Path) -> Archive:
    return await subject.archive_image(name, f"sha256:{CONFIG}", tuple(LAYERS), cache)


def cut(archive: Archive) -> Piece:
    """The piece of the first layer, of which half is left."""
    piece = next(piece for piece in archive.pieces if piece.diff)
    os.truncate(archive.folder / piece.file, piece.size // 2)
    return piece


@pytest.mark.parametrize("name", ["app:1", "app:2"], ids=["the same image", "another one with that layer"])
async def test_a_piece_of_another_size_is_made_anew(engine: Path, name: str) -> None:
    piece = cut(await archived("app:1", engine))
    again = await archived(name, engine)
    assert piece.size == (again.folder / piece.file).stat().st_size
    contents = read(again, set(LAYERS))
    assert [contents[f"blobs/sha256/{diff[7:]}"] for diff in LAYERS] == list(LAYERS.values())


async def test_a_piece_whose_index_can_t_be_read_is_made_anew(engine: Path) -> None:
    whole = await archived("app:1", engine)
    cut(whole)
    (index,) = whole.folder.glob(f"*{subject._INDEX_SUFFIX}")
    index.write_text("")
    assert await archived("app:1", engine) == whole


async def test_a_piece_that_another_image_has_taken_for_whole_is_made_anew(engine: Path) -> None:
    whole = await archived("app:1", engine)
    piece = cut(whole)
    half = {**asdict(piece), "size": piece.size // 2}
    other = whole.folder / f"other{subject._INDEX_SUFFIX}"
    other.write_text(json.dumps({"reference": "app:2", "ids": [], "pieces": [half]}))
    assert await archived("app:1", engine) == whole


async def test_what_a_killed_deployer_was_writing_goes_with_its_scratch_directory(engine: Path) -> None:
    program = (
        "import asyncio, os, pathlib, sys; from portside.image.archive import archive_image;"
        "os.fsync = lambda file: os._exit(9);"
        "asyncio.run(archive_image('app:1', sys.argv[1], tuple(sys.argv[3:]), pathlib.Path(sys.argv[2])))"
    )
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, f"sha256:{CONFIG}", str(engine), *LAYERS
    )
    assert await killed.wait() == 9
    assert [path.suffix for path in (engine / "images").iterdir() if path.is_file()] == [".lock"]
    whole = await archived("app:1", engine)
    assert not [path for path in whole.folder.iterdir() if path.is_dir()]


def test_a_piece_that_is_gone_is_an_error_of_its_own(tmp_path: Path) -> None:
    whole = apart(tmp_path)
    (whole.folder / whole.pieces[0].file).unlink()
    with pytest.raises(BuildError, match="can't be read any more"):
        list(whole.stream(whole.pieces))
