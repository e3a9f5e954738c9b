"""Commands as a person types them: a process each, timed from its start to its end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portside.command import run_command

REPOSITORY = Path(__file__).parents[1]
# Everybody's second command finds compiled code, and so does every one here.
COMPILED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(REPOSITORY / ".portside/cache/python")}
COMMAND_SECONDS = 180.0


@dataclass(frozen=True)
class Typed:
    """One command: how long it took, and what `--json` said."""

    seconds: float
    data: dict[str, Any]

    @property
    def phases(self) -> dict[str, float]:
        return dict(self.data["seconds"])

    @property
    def exchanges(self) -> int:
        """Of the busiest host."""
        return int(max(self.data["exchanges"].values()))

    @property
    def bytes_sent(self) -> int:
        return int(max(self.data["bytes_sent"].values()))


def command(*argv: str) -> list[str]:
    """The argument list of `invoke <argv> --json`, with this repository's tasks in whatever folder it is run."""
    # The console script beside this interpreter: what `invoke` on PATH would be.
    program = Path(sys.executable).with_name("invoke")
    return [str(program), "--search-root", str(REPOSITORY), *argv, "--json"]


async def invoke(*argv: str, project: Path) -> Typed:
    """`invoke <argv> --json` in `project`, with this repository's tasks. Raises CommandError when it fails."""
    began = time.monotonic()
    result = await run_command(command(*argv), timeout=COMMAND_SECONDS, cwd=project, env=COMPILED)
    took = time.monotonic() - began
    return Typed(took, json.loads(result.check().stdout))


async def listing(folder: Path) -> float:
    """`invoke --list` in `folder`."""
    program = Path(sys.executable).with_name("invoke")
    began = time.monotonic()
    await run_command([str(program), "--list"], timeout=COMMAND_SECONDS, cwd=folder, env=COMPILED)
    return time.monotonic() - began
