"""Known secret values are taken out of every text that leaves this process: output, errors, journals, messages.

A value is known from the moment it is fetched. It is found as it is, and as texts usually carry it: percent-encoded,
in base64 (alone, also wrapped, or inside something longer), escaped for JSON, for a shell or for an env file, one line
of it, without the whitespace around it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "[secret]"
# Shorter values are words and numbers that every text is full of ("true", "5432"): hiding them would hide what an
# error says, and tell by its gaps what the value is.
MINIMUM = 6
# Where base64 is wrapped: by MIME and coreutils; by PEM and OpenSSL.
COLUMNS = (76, 64)
# What logs in to the sources themselves, to registries and scanners.
CREDENTIALS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "BAO_SECRET_ID",
    "BAO_TOKEN",
    "BWS_ACCESS_TOKEN",
    "BW_CLIENTSECRET",
    "BW_PASSWORD",
    "BW_SESSION",
    "OP_CONNECT_TOKEN",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "SNYK_TOKEN",
    "SOPS_AGE_KEY",
    "VAULT_SECRET_ID",
    "VAULT_TOKEN",
)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


class Scrubber:
    """The values that are known, as one pattern. A process has one; tests have their own."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """From now on these are taken out; of a URL also its password."""
        known = len(self._forms)
        for value in values:
            self._forms.update(form for part in _parts(value) for form in _spellings(part))
        if len(self._forms) > known:
            # The longest first, so that nothing is left over of a value that begins with another.
            ordered = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def scrub(self, text: str) -> str:
        """`text` without what is known."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text


def _parts(value: str) -> Iterator[str]:
    yield value
    for password in _PASSWORD.findall(value):
        yield password
        yield unquote(password)
    # A file's last newline is in the value, and whoever uses it strips it.
    yield value.strip()
    # A log shows a key line by line; its first and last say only that it is one.
    yield from (line.strip() for line in value.splitlines() if not line.startswith("-----"))


def _spellings(value: str) -> Iterator[str]:
    if len(value) < MINIMUM:
        return
    escaped = json.dumps(value)[1:-1]
    yield from (value, quote(value), quote(value, safe=""), quote_plus(value))
    yield from (escaped, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(escaped)[1:-1])
    yield from (repr(value)[1:-1], shlex.quote(value)[1:-1] if shlex.quote(value) != value else value)
    yield value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
    blob = value.encode()
    for offset in range(3):
        # Whatever stands before and after it changes the characters at its edges: those in between stay.
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            inner = encoded(bytes(offset) + blob).decode().rstrip("=")
            if (offset + len(blob)) % 3:
                inner = inner[:-1]
            inner = inner[(0, 2, 3)[offset] :]
            lines = (inner[at : at + width] for width in COLUMNS for at in range(0, len(inner), width) if not offset)
            yield from (text for text in (inner, *lines) if len(text) >= MINIMUM)


_PROCESS = Scrubber()


def learn(values: Iterable[str]) -> None:
    """Every text of this process is without these values from now on."""
    _PROCESS.learn(values)


def learn_credentials(variables: Mapping[str, str] = os.environ) -> None:
    """Learn what logs in to the sources themselves, as far as it is in the process's environment."""
    learn(variables[name] for name in CREDENTIALS if variables.get(name))


def scrub(text: str) -> str:
    """`text` without the values that this process knows."""
    return _PROCESS.scrub(text)


@contextmanager
def scrubbed_streams() -> Iterator[None]:
    """Within, standard output and error pass through scrub()."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, Scrubbed(out)), cast(TextIO, Scrubbed(err))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class Scrubbed:
    """A text stream that everything written passes scrub() on its way to. All else is the stream's own.

    Bytes written to its `buffer` go as they are: that is how a person who asked for a value gets it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(scrub(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(map(scrub, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
