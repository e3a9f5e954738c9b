"""Writes a bbolt database, the file format of Trivy's advisories. For tests: one transaction, nothing is ever changed.

The layout is that of https://github.com/etcd-io/bbolt (internal/common: page.go, meta.go, bucket.go). Each bucket is
one leaf page, as long as it has to be, on its own: a tree without branches, which every reader of the format reads.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

PAGE = 4096
MAGIC, VERSION = 0xED0CDAED, 2
LEAF, META, FREELIST = 0x02, 0x04, 0x10
BUCKET = 0x01
HEADER = struct.Struct("<QHHI")  # page id, kind, count of elements, count of further pages
ELEMENT = struct.Struct("<IIII")  # kind, where its key begins (from here), lengths of key and value
ROOT = struct.Struct("<QQ")  # a bucket's page, its sequence
LIMIT = 0xFFFF

Bucket = Mapping[str, "bytes | Bucket"]


def write_bolt(path: Path, root: Bucket) -> None:
    """Write `root` (names to values, or to buckets of their own) as the database `path`."""
    pages: list[bytes] = []
    top = _put(pages, root)
    # Two metas that take turns, the older one first; then the list of free pages, which is empty.
    first = b"".join(_page(page, META, 0, _meta(page, top, len(pages) + 3)) for page in range(2))
    path.write_bytes(first + _page(2, FREELIST, 0, b"") + b"".join(pages))


def _put(pages: list[bytes], bucket: Bucket) -> int:
    """Append the pages of a bucket and of all that is in it; the bucket's page id."""
    elements = []
    for name in sorted(bucket, key=str.encode):
        value = bucket[name]
        inner = isinstance(value, Mapping)
        elements.append((BUCKET if inner else 0, name.encode(), ROOT.pack(_put(pages, value), 0) if inner else value))
    if len(elements) > LIMIT:
        raise ValueError(f"a page holds {LIMIT} elements, not {len(elements)}")
    table, content = bytearray(), bytearray()
    for number, (kind, key, value) in enumerate(elements):
        begin = (len(elements) - number) * ELEMENT.size + len(content)
        table += ELEMENT.pack(kind, begin, len(key), len(value))
        content += key + value
    number = len(pages) + 3
    whole = _page(number, LEAF, len(elements), bytes(table + content))
    pages.extend(whole[begin : begin + PAGE] for begin in range(0, len(whole), PAGE))
    return number


def _page(number: int, kind: int, count: int, content: bytes) -> bytes:
    length = -(-(HEADER.size + len(content)) // PAGE)
    return (HEADER.pack(number, kind, count, length - 1) + content).ljust(length * PAGE, b"\0")


def _meta(transaction: int, top: int, high_water: int) -> bytes:
    whole = struct.pack("<IIII", MAGIC, VERSION, PAGE, 0) + ROOT.pack(top, 0)
    whole += struct.pack("<QQQ", 2, high_water, transaction)
    return whole + struct.pack("<Q", _fnv1a(whole))


def _fnv1a(data: bytes) -> int:
    """FNV-1a, 64 bits: what the metas are checked by."""
    result = 0xCBF29CE484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return result
