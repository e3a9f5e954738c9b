"""asyncssh, imported without its search for libraries that it can do without, and quick to read a long ssh_config.

It looks for liboqs and two versions of nettle: each look starts ldconfig, gcc and ld, on every command. What they
would add, OpenSSH doesn't need: post-quantum key exchange (ML-KEM) comes from `cryptography`.

It reads the whole ssh_config for every connection, and takes each line apart as a shell would: with a block for each of
a hundred hosts, 15 of the 18 ms of processor time that a connection costs (docs/benchmarks.md). A line is the same for
every host.
"""

from __future__ import annotations

import ctypes.util
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache


@contextmanager
def _without_search() -> Iterator[None]:
    search = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None
    try:
        yield
    finally:
        ctypes.util.find_library = search


with _without_search():
    import asyncssh
    import asyncssh.config


class _Split:
    """What asyncssh.config uses of the module `shlex`."""

    def __init__(self) -> None:
        self._words = lru_cache(maxsize=4096)(lambda line: tuple(shlex.split(line)))

    def split(self, line: str) -> list[str]:
        return list(self._words(line))


asyncssh.config.shlex = _Split()  # type: ignore[assignment,attr-defined]

__all__ = ["asyncssh"]
