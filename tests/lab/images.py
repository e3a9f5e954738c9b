"""Images for hosts without a registry: carried over from this machine's Engine, or made on the spot."""

from __future__ import annotations

from pathlib import Path

from portside.command import run_command
from portside.lab.values import LabHost
from tests.lab.faults import as_root

TINY = "portside-lab-tiny"
TINY_IMAGE = Path(__file__).parent / "tiny_image.sh"
SAVE_SECONDS = 60.0


async def give_image(host: LabHost, reference: str) -> None:
    """Carry an image of this machine over to a host, which keeps it until the end of the lab."""
    if (await as_root(host, ["docker", "image", "inspect", reference])).exit_code == 0:
        return
    saved = (await run_command(["docker", "save", reference], timeout=SAVE_SECONDS)).check()
    (await as_root(host, ["docker", "load", "--quiet"], stdin=saved.stdout)).check()


async def tiny_image(host: LabHost) -> bytes:
    """A tar that `docker import` makes an image of: a shell and `sleep` on top of nothing."""
    return (await as_root(host, ["bash", "-s"], stdin=TINY_IMAGE.read_bytes())).check().stdout


async def give_tiny_image(host: LabHost) -> None:
    """Make the image TINY on a host."""
    root = await tiny_image(host)
    (await as_root(host, ["docker", "import", "-", TINY], stdin=root)).check()
