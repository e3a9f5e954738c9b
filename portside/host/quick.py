"""asyncssh, imported without its search for libraries that it can do without.

It looks for liboqs and two versions of nettle: each look starts ldconfig, gcc and ld, on every command. What they
would add, OpenSSH doesn't need: post-quantum key exchange (ML-KEM) comes from `cryptography`.
"""

from __future__ import annotations

import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager


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

__all__ = ["asyncssh"]
