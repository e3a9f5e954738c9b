"""Who is releasing, and from which commit."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from portside.command import run_command
from portside.errors import CommandError


def operator() -> str:
    """The person or job at work, as journals and locks show it: user@machine, or the CI job's actor."""
    actor = os.environ.get("GITHUB_ACTOR")
    return f"{actor} (GitHub Actions)" if actor else f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container that was told to run as a number; OSError from Python 3.13 on
        return f"uid {os.getuid()}"


def job() -> str:
    """The page of the CI run at work; "" where a person is."""
    found = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*found) if all(found) else ""


async def revision(root: Path) -> str:
    """The git commit of `root`, with "-dirty" when files differ from it; "unknown" outside git."""
    try:
        result = await run_command(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            timeout=20,
        )
    except CommandError:
        return "unknown"
    return result.text if result.exit_code == 0 else "unknown"
