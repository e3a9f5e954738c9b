"""The image of a lab host, built once per state of its recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from portside.command import run_command, tail
from portside.errors import BuildError
from portside.image.bases import ensure_image

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
    """Build the lab host's image unless this machine has it; return its reference. Raises BuildError."""
    image = lab_image()
    found = await run_command(["docker", "image", "inspect", image], timeout=QUERY_SECONDS)
    if found.exit_code == 0:
        return image
    await ensure_image(BASE, say=say, ca_bundle=ca_bundle)
    say(f"building {image}, once for all labs")
    built = await run_command(["docker", "build", "--tag", image, str(RECIPE)], timeout=BUILD_SECONDS)
    if built.exit_code != 0:
        raise BuildError(
            "the image for lab hosts could not be built",
            where=str(RECIPE / "Dockerfile"),
            why=tail(built.stderr or built.stdout),
            remedy="the build needs a Debian mirror: check that `docker run` containers reach deb.debian.org",
        )
    return image
