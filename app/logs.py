"""Logging: one JSON object a line on stdout, whoever logs, and nothing else there."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import orjson
from loguru import logger

from app.redaction import redact
from app.request_context import current_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Logger, Message, Record

STDOUT = 1
# The end of a traceback names the error; the start of a very long one is the least useful part.
MAX_TRACEBACK = 16_000
# Seconds that a line waits for other processes' lines. A torn line is better than a worker that stands still.
MAX_TURN = 1.0

# What they say below WARNING is for their authors; aiosqlite would even log the values of statements.
CHATTY = ("aiosqlite", "asyncio", "alembic.runtime.plugins")


def configure_logging(*, service: str, env: str, release: str, level: str) -> Logger:
    """Send loguru, the standard library's logging, warnings and crashes through one sink."""
    identity = {"service": service, "env": env, "release": release}
    logger.remove()
    logger.add(_json_sink(identity), level=level, format="{message}", catch=True)
    logging.basicConfig(handlers=[StandardLogging()], level=level, force=True)
    logging.captureWarnings(True)
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.WARNING)
    sys.excepthook = _log_crash
    return logger


class StandardLogging(logging.Handler):
    """Hands records of the standard library's logging over to loguru, under their own name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        name = record.name

        def keep_name(target: Record) -> None:
            target["name"] = name

        # The message may hold braces: as an argument it isn't taken for a format string.
        logger.patch(keep_name).opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def _json_sink(identity: dict[str, str]) -> Callable[[Message], None]:
    def sink(message: Message) -> None:
        record = message.record
        line: dict[str, Any] = {
            "timestamp": rfc3339(record["time"].astimezone(UTC)),
            "level": record["level"].name.lower(),
            "message": record["message"],
            "logger": record["name"],
            **identity,
        }
        if context := current_request.get():
            line.update(context.fields)
        line.update(record["extra"])
        if error := record["exception"]:
            line["exception.type"] = error.type.__qualname__ if error.type else None
            line["exception.message"] = str(error.value)
            line["exception.stacktrace"] = _stacktrace(error.type, error.value, error.traceback)
        write_line(line)

    return sink


def rfc3339(moment: datetime) -> str:
    """Of a time in UTC."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


def _serialized(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=_OPTIONS)
    except TypeError:
        # Half a surrogate pair, say: orjson refuses what isn't UTF-8, but a strange line beats none.
        return json.dumps(line, default=str).encode() + b"\n"


def _stacktrace(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> str:
    # loguru's own formatting prints the values of variables, which may be secrets.
    return "".join(traceback.format_exception(kind, error, trace))[-MAX_TRACEBACK:]


def write_line(fields: dict[str, Any]) -> None:
    """The only way to stdout. Raises OSError when nobody reads there any more."""
    line = redact(_serialized(fields))
    _wait_for_turn()
    try:
        while line:
            line = line[os.write(STDOUT, line) :]
    finally:
        _end_turn()


def _wait_for_turn() -> None:
    """Workers share this pipe: while one writes a line, the others wait.

    A pipe takes only 4,096 bytes at once for sure; where it is full, a traceback goes in piece by piece, and others'
    lines would go between. The lock is this process's own although the pipe is shared, and ends with the process.
    """
    deadline = time.monotonic() + MAX_TURN
    while not _locked() and time.monotonic() < deadline:
        time.sleep(0.001)


def _locked() -> bool:
    try:
        fcntl.lockf(STDOUT, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # What can't be locked is written to all the same.
        return True
    return True


def _end_turn() -> None:
    with suppress(OSError):
        fcntl.lockf(STDOUT, fcntl.LOCK_UN)


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.opt(exception=(kind, error, trace)).critical("the process ends because of an unhandled exception")
