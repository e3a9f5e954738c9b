"""The image of a lab host, built once per state of its recipe."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from portside.command import run_command, tail
from portside.errors import BuildError
from portside.image.bases import ensure_image
from portside.image.turns import state_folder, turn

BASE = "debian:trixie-slim"
RECIPE = Path(__file__).parent / "recipe"
REPOSITORY = "portside-lab-host"
BUILD_SECONDS = 600.0
QUERY_SECONDS = 30.0


def lab_image(recipe: Path = RECIPE) -> str:
    """The image's reference: its tag is a hash over the names, modes and contents of the recipe's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in recipe.iterdir() if path.is_file()):
        executable = bool(file.stat().st_mode & 0o100)
        digest.update(f"{file.name}\0{executable}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


async def ensure_lab_image(*, say: Callable[[str], None], ca_bundle: Path | None = None) -> str:
    """Build the lab host's image unless this machine has it; return its reference. Raises BuildError.

    Safe to call from several processes at once: it is built once.
    """
    image = lab_image()
    if await _present(image):
        return image
    async with turn(f"the image {image}", folder=state_folder(os.environ), timeout=BUILD_SECONDS):
        if not await _present(image):
            await ensure_image(BASE, say=say, ca_bundle=ca_bundle)
            say(f"building {image}, once for all labs")
            await _build(image)
    return image


async def _present(image: str) -> bool:
    return (await run_command(["docker", "image", "inspect", image], timeout=QUERY_SECONDS)).exit_code == 0


async def _build(image: str) -> None:
    built = await run_command(["docker", "build", "--tag", image, str(RECIPE)], timeout=BUILD_SECONDS)
    if built.exit_code != 0:
        raise BuildError(
            "the image for lab hosts could not be built",
            where=str(RECIPE / "Dockerfile"),
            why=tail(built.stderr or built.stdout),
            remedy="Building it takes a Debian mirror: check that containers reach deb.debian.org.",
        )
