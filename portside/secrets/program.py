"""Run a password manager's own program: found, timed, its value on standard output and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portside.command import Result, run_command
from portside.errors import CommandError
from portside.secrets.base import UnreachableSourceError
from portside.secrets.scrub import scrub

# A manager may ask its person for a fingerprint meanwhile.
SECONDS = 25.0
# Of one program at a time.
AT_ONCE = 4


def find(program: str, install: str) -> str:
    """The program: of this Python environment, else on PATH. Raises UnreachableSourceError that says how to get it."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(program)
    if not found:
        raise UnreachableSourceError(f"the program {program} isn't installed: {install}")
    return found


async def ask(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, terminal: bool = False
) -> Result:
    """What it answered, whatever its exit code. Raises UnreachableSourceError when it doesn't end in time."""
    try:
        return await run_command(argv, timeout=SECONDS, cwd=cwd, env=env, terminal=terminal)
    except CommandError as error:
        raise UnreachableSourceError(error.what) from None


def parsed(result: Result) -> Any:
    """Its answer as JSON. Raises UnreachableSourceError, without a word of the answer."""
    try:
        return json.loads(result.stdout)
    except ValueError:
        raise UnreachableSourceError(f"{Path(result.argv[0]).name} answered something that is no JSON") from None


def complaint(result: Result) -> str:
    """The last words of its standard error, on one line. Standard output is never shown: values are there."""
    said = result.stderr.decode(errors="replace").partition("\nLocation:")[0]  # of the source, as Rust's programs add
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return scrub(" ".join(lines))[-300:] or f"exit code {result.exit_code}"
