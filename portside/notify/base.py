"""What a notifier is, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from portside.config import Notifier
from portside.notify.event import Event

# A release is over by then; what hasn't arrived after this is said and given up.
DEADLINE = 10.0
# For one step of a conversation: a connection, an answer. Two tries of the slowest fit into the deadline.
STEP_SECONDS = 4.0


class NotToldError(Exception):
    """A message did not arrive. The text says why, never the address or another secret."""


class Send(Protocol):
    """Tell of one event. Runs in a thread of its own, which is left behind at the deadline.

    `secrets` has the values of the settings' references, by key. Raises NotToldError.
    """

    def __call__(self, settings: Notifier, secrets: Mapping[str, str], event: Event, /) -> None: ...
