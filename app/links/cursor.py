"""Where the next page starts, as a string that callers pass back without looking inside."""

from __future__ import annotations

import base64
import binascii

_MAX_ID = 2**63 - 1


class CursorError(ValueError):
    """The cursor wasn't made by this service."""


def encode_cursor(last_id: int) -> str:
    return base64.urlsafe_b64encode(f"id:{last_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The id after which the next page starts. Raises CursorError."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error):
        raise CursorError("the cursor can't be read") from None
    kind, _, digits = text.partition(":")
    if kind != "id" or not digits.isdecimal() or len(digits) > 19 or not 0 < int(digits) <= _MAX_ID:
        raise CursorError("the cursor can't be read")
    return int(digits)
