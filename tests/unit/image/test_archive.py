"""Any choice of pieces is an archive that `docker load` reads."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from portside.errors import BuildError
from portside.image import archive as subject
from portside.image.archive import Archive, take_apart

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
        lambda raw, start, end, target: (written.append(end - start), compress(raw, start, end, target)),
    )
    apart(tmp_path, "app:2")
    assert sum(written) < min(len(content) for content in LAYERS.values()) * 2


def test_an_archive_that_was_cut_short_is_refused_and_leaves_no_piece(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with path.open("rb") as raw, pytest.raises(BuildError, match="ends too early"):
        subject._compress(raw, 0, path.stat().st_size + 512, tmp_path / "piece.gz")
    assert not (tmp_path / "piece.gz").exists()


def test_pruning_keeps_the_latest_images_and_their_pieces(tmp_path: Path) -> None:
    for number in range(subject.KEPT_IMAGES + 2):
        (tmp_path / f"own-{number}.gz").touch()
        index = tmp_path / f"{number}{subject._INDEX_SUFFIX}"
        pieces = [{"name": "x", "file": name, "size": 1, "diff": ""} for name in ("shared.gz", f"own-{number}.gz")]
        index.write_text(json.dumps({"pieces": pieces}))
        os.utime(index, (number, number))
    (tmp_path / "shared.gz").touch()
    subject._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.gz")) == [
        "own-2.gz",
        "own-3.gz",
        "own-4.gz",
        "shared.gz",
    ]
