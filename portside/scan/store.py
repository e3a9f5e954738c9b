"""Records of scans on this machine: a folder per image digest under `.portside/scans`, with the reports."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from portside.scan.findings import Record

FOLDER = Path(".portside/scans")
RECORD = "record.json"
TABLE = "report.txt"
KEPT = 50


class Store:
    """The records of the project in `root`. An image's other digests are links to the folder of its first."""

    def __init__(self, root: Path) -> None:
        self._root = root / FOLDER

    def folder(self, digest: str) -> Path:
        return self._root / digest.replace(":", "-")

    def save(self, record: Record, files: Mapping[str, bytes]) -> Path:
        """Keep `record` and its reports, in place of an older scan of the same image; the folder they are in."""
        home = self.folder(record.digests[0])
        if home.is_symlink():
            home.unlink()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in home.iterdir():
            if old.name not in files and old.name != RECORD:
                old.unlink()
        # The record last: it never speaks of reports that aren't there.
        for name, content in {**files, RECORD: record.model_dump_json(indent=1).encode() + b"\n"}.items():
            draft = home / f".{name}.new"
            draft.write_bytes(content)
            draft.replace(home / name)
        for digest in record.digests[1:]:
            self._link(digest, home)
        self._prune()
        return home

    def find(self, digests: Iterable[str]) -> Record | None:
        """The record of the image with one of these digests; None where there is none that can be read."""
        for digest in filter(None, digests):
            try:
                record = Record.model_validate_json((self.folder(digest) / RECORD).read_bytes())
            except (OSError, ValidationError):
                continue
            if digest in record.digests:
                return record
        return None

    def reports(self, record: Record) -> dict[str, bytes]:
        """The files beside a record, by name."""
        home = self.folder(record.digests[0])
        return {path.name: path.read_bytes() for path in sorted(home.iterdir()) if path.name != RECORD}

    def _link(self, digest: str, home: Path) -> None:
        link = self.folder(digest)
        if link.is_dir() and not link.is_symlink():
            # This digest was an image's first before: with another Engine, or read from a host.
            shutil.rmtree(link)
        draft = link.with_name(f".{link.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(home.name)
        draft.replace(link)

    def _prune(self) -> None:
        homes = [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]
        for old in sorted(homes, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(old)
        for link in self._root.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()
