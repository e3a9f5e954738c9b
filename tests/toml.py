"""Text as TOML writes it: as JSON does, but for characters beyond 16 bits, which are written as they are, and DEL."""

from __future__ import annotations

import json


def text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
