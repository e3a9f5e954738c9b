"""Hold a host's step at its beginning or at its end, so that a test can interrupt the deployer exactly there.

Every step is `bash -c TEXT portside-<script> …`. A stand-in before it on PATH has the step wait, while a file says so,
before it writes its journal's first line or its second. The lease writes none: it waits where its lines say what it is
about to do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from portside.lab.values import LabHost
from tests.lab.project import Project, wait_until

STAND_IN = r"""#!/bin/bash
if [ "${1:-}" = -c ] && [ -n "${3:-}" ] && [ -e "/run/hold/$3" ]; then
  text="$2" hold='hold-step "$0" "$$";'
  if [ "$3" = portside-lease ]; then
    # Before the lock, when it is taken; before the host looks at itself, when it has.
    for from in 'exec 8>"$site/lock/flock"' 'exec 9>"$site/work.lock"'$'\n'"flock -w 45" \
      '[ "$full" = 0 ] || exec 5<' '[ "$full" = 0 ] || cat <&5'; do
      text="${text/"$from"/"$hold"$'\n'"$from"}"
    done
  else
    from="record() {"
    text="${text/"$from"/"$from $hold"}"
  fi
  exec /bin/bash -c "$text" "${@:3}"
fi
exec /bin/bash "$@"
"""
# Which script, and which process: its argument counts the places where a script may be held.
HOLD_STEP = r"""#!/bin/bash
[ -e "/run/hold/$1" ] || exit 0
count=$(($(cat "/run/hold/count-$2" 2>/dev/null || echo 0) + 1))
echo "$count" >"/run/hold/count-$2"
[ "$count" = "$(cat "/run/hold/$1")" ] || exit 0
touch /run/hold/held
for _ in $(seq 600); do [ -e "/run/hold/$1" ] || break; sleep 0.05; done
"""
PROGRAMS = {"/usr/local/bin/bash": STAND_IN, "/usr/local/bin/hold-step": HOLD_STEP}
SCRIPTS = {"before-switch": "hook", "lock": "lease", "preflight": "lease"}
TIMES = {"begin": 1, "end": 2}
# The lease comes to both of these, one after the other.
BEFORE = {"preflight": 2}


@contextlib.contextmanager
def held(project: Project, host: LabHost, phase: str, at: str) -> Iterator[None]:
    """Inside, `phase` stops on `host` as it begins or ends; `wait_held` tells when it got there."""
    script = f"portside-{SCRIPTS.get(phase, phase)}"
    place = BEFORE.get(phase, 0) + TIMES[at]
    project.shell(host, "bash", "-c", f"mkdir -p /run/hold && chmod 777 /run/hold && echo {place} >/run/hold/{script}")
    for path, text in reversed(PROGRAMS.items()):
        program = f"cat >{path}.new <<'EOF'\n{text}\nEOF\nchmod 755 {path}.new\nmv {path}.new {path}"
        project.shell(host, "/bin/bash", "-c", program)
    try:
        yield
    finally:
        free(project, host)


@contextlib.asynccontextmanager
async def holding(project: Project, host: LabHost, phase: str, at: str) -> AsyncIterator[None]:
    """As `held`, beside an event loop."""
    hold = held(project, host, phase, at)
    await asyncio.to_thread(hold.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(hold.__exit__, None, None, None)


def is_held(project: Project, host: LabHost) -> bool:
    """Within a second: to ask anew ten times as often costs half a processor, which the release needs."""
    look = "for _ in {1..10}; do [ ! -e /run/hold/held ] || { echo held; break; }; sleep 0.1; done"
    return project.shell(host, "/bin/bash", "-c", look) == "held"


def wait_held(project: Project, host: LabHost) -> None:
    wait_until(lambda: is_held(project, host), seconds=150, what="the step to be held")


def free(project: Project, host: LabHost) -> None:
    # The programs stay, and do nothing: a step that finds one gone would fail.
    project.shell(host, "rm", "-rf", "/run/hold")
