"""The pictures in docs/: each is shown on a page that says what it is, and is small enough for everybody's clone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
SHOWN = [
    (page, said, (page.parent / target).resolve())
    for page in PAGES
    for said, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text())
    if "://" not in target
]

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 150_000
ALL_TOGETHER = 700_000


@pytest.mark.parametrize(("page", "said", "picture"), SHOWN, ids=lambda value: getattr(value, "name", None))
def test_a_picture_that_a_page_shows_is_there_and_said_in_words(page: Path, said: str, picture: Path) -> None:
    assert picture.is_file(), f"{page.name} shows {picture.name}"
    assert len(said.split()) >= 4, f"{page.name} doesn't say what {picture.name} shows to whom can't see it"


def test_every_picture_is_shown_on_a_page() -> None:
    assert {path.name for path in PICTURES.iterdir()} == {shown.name for _, _, shown in SHOWN}


@pytest.mark.parametrize("picture", sorted(PICTURES.iterdir()), ids=lambda picture: picture.name)
def test_a_picture_is_a_small_png(picture: Path) -> None:
    assert picture.suffix == ".png"
    assert picture.read_bytes().startswith(PNG)
    assert picture.stat().st_size <= LARGEST


def test_all_pictures_together_are_small() -> None:
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= ALL_TOGETHER


def test_no_picture_carries_notes_of_the_machine_that_made_it() -> None:
    """Text chunks of PNG (paths, software, times) say what the caption should."""
    for picture in PICTURES.iterdir():
        assert not {
            kind for kind in chunks(picture.read_bytes()) if kind in {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"}
        }


def chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks, in order (PNG specification, section 5)."""
    kinds, at = [], len(PNG)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    return kinds
