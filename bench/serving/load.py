"""Requests by wrk: a generator in C, so that it isn't what is measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from portside.command import tail
from portside.errors import CommandError, ConfigError

CONNECTIONS = 16
# wrk's own end, and a machine that is busy.
SPARE_SECONDS = 30.0

# Its text rounds what it knows exactly.
SCRIPT = """
done = function(summary)
  local e = summary.errors
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "failed": %d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Sent:
    """What wrk counted."""

    requests: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def require_wrk() -> None:
    """Raises ConfigError."""
    if shutil.which("wrk") is None:
        raise ConfigError(
            "the serving benchmark sends its requests with wrk, which is not installed",
            where="PATH",
            remedy="sudo apt-get install wrk",
        )


def send(url: str, *, seconds: float, cores: set[int], script: Path) -> Sent:
    """GETs of `url` on keep-alive connections. Raises CommandError, also when a single one fails."""
    argv = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={round(seconds)}s"]
    process = subprocess.Popen([*argv, f"--script={script}", url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.sched_setaffinity(process.pid, cores)
    try:
        output, _ = process.communicate(timeout=seconds + SPARE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise CommandError(f"wrk did not end within {seconds + SPARE_SECONDS:g} s", where=url) from None
    found = re.search(r"^RESULT (.*)$", output.decode(), re.MULTILINE)
    if process.returncode != 0 or found is None:
        raise CommandError("wrk failed", where=url, why=tail(output))
    counted = json.loads(found[1])
    if counted["failed"] or not counted["requests"]:
        raise CommandError(f"{counted['failed']} of {counted['requests']} requests failed", where=url)
    return Sent(counted["requests"], counted["microseconds"] / 1e6)
