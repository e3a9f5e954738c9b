"""What an archive of an image is, by its digests; and that none of them is left lying about."""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path

import pytest

from portside.errors import ScanError
from portside.scan.subject import archive_digests, scratch
from tests.image_archive import write_image


def test_an_archive_is_known_by_the_digest_of_its_configuration(tmp_path: Path) -> None:
    digest = write_image(tmp_path / "image.tar", wheels={"idna": "3.10"})
    assert archive_digests(tmp_path / "image.tar") == [digest]


def test_what_is_no_archive_of_one_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_bytes(b"no archive")
    tarfile.open(tmp_path / "empty.tar", "w").close()
    for name in ("text.tar", "empty.tar", "missing.tar"):
        with pytest.raises(ScanError, match="no archive of one image"):
            archive_digests(tmp_path / name)


async def test_a_scan_s_folder_goes_away_and_takes_with_it_what_a_killed_one_left(tmp_path: Path) -> None:
    long_ago = time.time() - 2 * 24 * 3600
    for name in ("scan-dead", "images"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / "scan-alive").mkdir()
    async with scratch(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {"images", "scan-alive"}
