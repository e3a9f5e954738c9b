"""What the stores have in common, whatever they speak."""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

# Where nobody listens.
CLOSED = "127.0.0.1:1"


class Store(ABC):
    """`variables` is the environment of somebody who is logged in; `logins` names what of it logs in."""

    kind: str
    variables: dict[str, str]
    logins: tuple[str, ...]

    @abstractmethod
    def put(self, name: str, value: str) -> str:
        """Keep a value, in place of an older one; the reference to it."""

    @abstractmethod
    def reset(self) -> None:
        """Nothing is kept any more, and nothing is wrong with it."""

    @abstractmethod
    def reference(self, name: str) -> str:
        """How a value of that name is referred to, whether it is there or not."""

    @abstractmethod
    def at(self, address: str) -> Mapping[str, str]:
        """The variables that make its client ask another `host:port`."""

    @abstractmethod
    def refused(self) -> Mapping[str, str]:
        """The variables of somebody who may not read: `put` goes on to work."""


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """An address (host:port) that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
