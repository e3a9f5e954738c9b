"""Takes secrets out of a log line, as the last thing before it is written.

It works on the serialized line, so that no field, message or traceback can go around it. What it takes lies within a
string of the line, or is a whole value of a field: the line stays JSON. A quote that isn't escaped is never taken.
"""

from __future__ import annotations

import re

MASK = b"***"

# Nothing before the words: what begins with any length of anything is looked for from every place of a long line anew,
# and a path of 16 kB, which anybody may ask for, took a minute.
_SECRET_NAME = rb"(?:password|passwd|secret|token|authorization|cookie|api[_-]?key)"
# A character of a message as the line has it, but none that ends a line of the message. An escape is taken whole, also
# one of a JSON text in the message.
_CHARACTER = rb'(?:[^"\\]|\\\\(?:\\[^nr]|[^"\\])|\\[^nr])'
_PATTERN = re.compile(
    # scheme://user:password@host, also with a password that holds an @
    rb'(?P<url>://[^\s:/@"\\]*:)[^\s"\\/]+(?=@)'
    # "password": "value", "password": 123, as a JSON field; of an object or a list, where it begins
    rb"|(?P<field>" + _SECRET_NAME + rb'"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|(?P<inner>[{\[])|[^\s"{}\[\],]+)'
    # Authorization: Token value, 'cookie': 'a=value; b=value' inside a message: to the quote that closes it, or all of
    # the message's line, for what follows the first word is as secret
    rb"|(?P<header>(?:authorization|cookie)(?:\\\"|')?\s*+[=:]\s*+(?P<quote>\\\"|')?)"
    rb"(?(quote)(?:(?!(?P=quote))" + _CHARACTER + rb")*+|" + _CHARACTER + rb"++)"
    # Bearer value
    rb"|(?P<scheme>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}"
    # password=value, token: value, {\"password\": \"value\"} inside a message
    rb"|(?P<pair>" + _SECRET_NAME + rb"(?:\\\"|')?\s*[=:]\s*(?:\\\"|')?)(?!bearer\b|basic\b)[^\s\"'\\,;&]+",
    re.IGNORECASE,
)
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def redact(line: bytes) -> bytes:
    """The same line with passwords, tokens and credentials replaced by three asterisks."""
    return _masked(line) if _may_hold_a_secret(line) else line


def _may_hold_a_secret(line: bytes) -> bool:
    """Whatever the pattern masks holds one of these words, or is a URL with an @.

    Looking for them takes 3 µs where the pattern takes 75 for an access line. Spelled out, since a loop takes longer.
    """
    low = line.lower()
    return (
        (b"@" in low and b"://" in low)
        or b"pass" in low
        or b"secret" in low
        or b"token" in low
        or b"auth" in low
        or b"cookie" in low
        or (b"key" in low and b"api" in low)
        or b"bearer" in low
        or b"basic" in low
    )


def _masked(line: bytes) -> bytes:
    kept: list[bytes] = []
    done = 0
    while match := _PATTERN.search(line, done):
        kept.append(line[done : match.start()])
        kept.append(_mask_of(match))
        done = _end_of_object(line, match.start("inner")) if match["inner"] else match.end()
    return b"".join((*kept, line[done:]))


def _mask_of(match: re.Match[bytes]) -> bytes:
    if match["field"] is not None:
        return match["field"] + b'"' + MASK + b'"'
    return (match["url"] or match["header"] or match["scheme"] or match["pair"]) + MASK


def _end_of_object(line: bytes, start: int) -> int:
    """Behind the bracket that closes the one at `start`; the end of a line where none does."""
    depth = 0
    for piece in _STRING_OR_BRACKET.finditer(line, start):
        depth += piece[0] in b"{["
        depth -= piece[0] in b"}]"
        if depth == 0:
            return piece.end()
    return len(line)
