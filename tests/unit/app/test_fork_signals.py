"""A worker that is told to end while it is being forked ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

FORKS = """
import os, signal, sys, time
from app.fork_signals import keep_sigterm_across_fork

seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
keep_sigterm_across_fork()
for _ in range(100):
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM, status
assert seen == []
os.kill(os.getpid(), signal.SIGTERM)
assert seen == [signal.SIGTERM], "the arbiter's own handler has to stay"
"""


def test_sigterm_right_after_the_fork_is_never_lost() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
