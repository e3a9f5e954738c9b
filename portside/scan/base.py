"""What every scanner is given and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from portside.config import Scan
from portside.scan.findings import Finding, Run

# What a scanner's reports are, for whoever gets them from a registry.
JSON = "application/json"
SARIF = "application/sarif+json"
CYCLONEDX = "application/vnd.cyclonedx+json"
# Of this process's environment: by which way a program reaches the network.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Subject:
    """An image as a file, and what it is called.

    `archive` is what `docker save` wrote. `digests` and `published` are as in a Record.
    """

    reference: str
    archive: Path
    digests: tuple[str, ...]
    published: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What one scanner said. `files` are its reports by name, each with its media type; `system` is the image's."""

    run: Run
    findings: tuple[Finding, ...]
    files: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    system: str = ""


class Scanner(Protocol):
    """A program that looks for what is wrong with an image."""

    name: str

    async def scan(self, subject: Subject, rules: Scan, folder: Path) -> Report:
        """Scan `subject`; `folder` is for files of the scanner's own and goes away afterwards.

        All that is found is reported, whatever `rules` make of it: they only say what to look for, and how long it
        may take. Raises ScanError when the scanner could not run to its end; a partial result is never returned.
        """
