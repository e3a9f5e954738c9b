"""Images of old builds don't pile up on the machine that builds."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from secrets import token_hex

import pytest

from portside.image.tags import prune_tags


def docker(*argv: str, stdin: bytes = b"") -> str:
    return subprocess.run(["docker", *argv], input=stdin, capture_output=True, check=True).stdout.decode().strip()


@pytest.fixture
def name() -> Iterator[str]:
    name = f"tags-{token_hex(4)}"
    yield name
    for tag in docker("image", "ls", "-q", "--filter", f"reference={name}").split():
        docker("image", "rm", "-f", tag)


def test_the_images_tagged_last_stay(name: str) -> None:
    for number in range(4):
        made = docker("import", "--change", f"LABEL n={number}", "-", stdin=b"\0" * 1024)
        docker("tag", made, f"{name}:sha-{number}")
    docker("tag", docker("image", "inspect", "-f", "{{.Id}}", f"{name}:sha-0"), f"{name}:sha-0")
    removed = asyncio.run(prune_tags(name, keep=2))
    left = set(docker("image", "ls", "--format", "{{.Tag}}", "--filter", f"reference={name}").split())
    assert left == {"sha-0", "sha-3"}
    assert set(removed) == {f"{name}:sha-1", f"{name}:sha-2"}
