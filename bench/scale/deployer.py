"""The deployer under measurement: `invoke deploy` in a process of its own, its memory and its processor time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.typed import COMMAND_SECONDS, COMPILED, command
from portside.errors import CommandError

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Deployed:
    """One deploy: seconds from its start to its end, seconds of processor time, MB at its largest, and `--json`."""

    seconds: float
    processor: float
    peak_mb: float
    code: int
    data: dict[str, Any]
    said: str


def deploy(project: Path, env: str, image: str) -> Deployed:
    """Deploy `image` to `env` of `project`, whatever its exit code. Raises CommandError when it doesn't end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(
            command("deploy", "--env", env, "--image", image),
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **COMPILED},
        )
        peak = 0.0
        while True:
            # What the kernel tells at the end is never less than this process's own size: a child begins as its copy.
            peak = max(peak, _peak_mb(process.pid))
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - began > COMMAND_SECONDS:
                process.kill()
                os.wait4(process.pid, 0)
                raise CommandError(f"a deploy to {env} did not end within {COMMAND_SECONDS:g} s", where="this machine")
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines = out.read().decode().strip().splitlines()
        said = err.read().decode(errors="replace")
    data = json.loads(lines[-1]) if lines else {}
    return Deployed(seconds, usage.ru_utime + usage.ru_stime, peak, process.returncode, data, said)


def _peak_mb(pid: int) -> float:
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
