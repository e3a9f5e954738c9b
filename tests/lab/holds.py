"""Hold a host's step at its beginning or at its end, so that a test can interrupt the deployer exactly there.

Every step asks the host's `date` when it writes its journal. A stand-in before it on PATH waits while a file says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from portside.lab.values import LabHost
from tests.lab.project import Project, wait_until

STAND_IN = r"""#!/bin/bash
# Which script asks, and for the how-manyeth time: "begin" is its first journal line, "end" the second.
script=$(tr '\0' '\n' <"/proc/$PPID/cmdline" | grep -m1 '^portside-' || true)
if [ -n "$script" ] && [ -e "/run/hold/$script" ]; then
  pid=$(ps -o ppid= -p "$PPID" | tr -d ' ')
  count=$(($(cat "/run/hold/count-$pid" 2>/dev/null || echo 0) + 1))
  echo "$count" >"/run/hold/count-$pid"
  if [ "$count" = "$(cat "/run/hold/$script")" ]; then
    touch "/run/hold/held"
    for _ in $(seq 600); do [ -e "/run/hold/$script" ] || break; sleep 0.05; done
  fi
fi
exec /usr/bin/date "$@"
"""
SCRIPTS = {"before-switch": "hook"}
TIMES = {"begin": "1", "end": "2"}


@contextlib.contextmanager
def held(project: Project, host: LabHost, phase: str, at: str) -> Iterator[None]:
    """Inside, `phase` stops on `host` as it begins or ends; `wait_held` tells when it got there."""
    script = f"portside-{SCRIPTS.get(phase, phase)}"
    project.shell(
        host, "bash", "-c", f"mkdir -p /run/hold && chmod 777 /run/hold && echo {TIMES[at]} >/run/hold/{script}"
    )
    project.shell(
        host, "bash", "-c", f"cat >/usr/local/bin/date <<'EOF'\n{STAND_IN}\nEOF\nchmod 755 /usr/local/bin/date"
    )
    try:
        yield
    finally:
        free(project, host)


def wait_held(project: Project, host: LabHost, seconds: float = 40) -> None:
    wait_until(lambda: "held" in project.shell(host, "ls", "/run/hold"), seconds=seconds, what="the step to be held")


def free(project: Project, host: LabHost) -> None:
    project.shell(host, "rm", "-rf", "/run/hold", "/usr/local/bin/date")
