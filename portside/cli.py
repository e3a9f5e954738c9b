"""Between a task and the engine: run it, print its outcome or its error, end with the documented exit code."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from portside.config import Config, Environment, load_config
from portside.errors import ConfigError, InterruptionError, PortsideError, UnexpectedError
from portside.report import Lines, LiveTable, progress, reminded
from portside.secrets.fetching import kept
from portside.secrets.scrub import learn_credentials, scrub, scrubbed_streams

# As a shell says it of a program that SIGPIPE ended.
UNREAD = 141
CRASH_FILE = Path(".portside/crash.txt")


class Terminal:
    """Where a command talks to: results on standard output, progress beside them.

    With `machine` (`--json`) standard output carries one JSON object, and progress goes to standard error.
    """

    def __init__(self, *, machine: bool) -> None:
        self.machine = machine
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)
        self.reporter: Lines | LiveTable = progress(self.err if machine else self.out)

    def result(self, data: dict[str, Any], text: str) -> None:
        """The outcome: `data` for machines or `text` for people."""
        if self.machine:
            _print_object(data)
        else:
            self.out.print(text)

    async def agreed(self, question: str, environment: Environment, *, yes: bool, always: bool = False) -> bool:
        """Ask where the environment says `confirm = true`, or `always`. Raises ConfigError when there is nobody to ask.

        However long somebody thinks, leases are renewed and connections answered meanwhile.
        """
        if yes or not (always or environment.confirm):
            return True
        if not sys.stdin.isatty():
            raise ConfigError(
                f"{environment.name} asks before it is changed, and there is nobody to ask",
                where="standard input" if always else f"portside.toml: env.{environment.name}.confirm",
                remedy="Add --yes.",
            )
        self.reporter.__exit__(None, None, None)
        (self.err if self.machine else self.out).print(f"{question} [y/N] ", end="")
        answer = await _typed_line()
        self.reporter.__enter__()
        return answer.strip().lower() in ("y", "yes")

    def error(self, error: PortsideError, data: dict[str, Any] | None) -> None:
        """What went wrong, where, why, and what to type next; with `data` None on standard error alone."""
        if self.machine and data is not None:
            _print_object({**data, **as_data(error)})
        head = f"{error.where}: {error.what}" if error.where else error.what
        self.err.print(f"✗ {head}", style="bold red")
        if error.why:
            self.err.print("\n".join(f"  {line}" for line in error.why.splitlines()))
        if error.remedy:
            self.err.print(f"→ {error.remedy}")


async def _typed_line() -> str:
    """A terminal's next line. In the loop and not in a thread: one that waits for input keeps a process from ending."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


def _known(error: BaseException) -> PortsideError | None:
    """The first error in a group that says what a person can do; several tasks failing at once come as a group."""
    if isinstance(error, PortsideError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_known, error.exceptions)), None)
    return None


def _unexpected(error: Exception) -> PortsideError:
    """A mistake of Portside's own: the traceback goes into a file for whoever mends it."""
    details = f"{CRASH_FILE} has its details"
    try:
        CRASH_FILE.parent.mkdir(exist_ok=True)
        CRASH_FILE.touch(0o600)
        CRASH_FILE.chmod(0o600)
        CRASH_FILE.write_text(scrub("".join(traceback.format_exception(error))))
    except OSError as unwritten:
        details = f"{CRASH_FILE} can't be written ({unwritten.strerror})"
    return UnexpectedError(
        f"something unexpected happened: {type(error).__name__}",
        why=scrub(str(error))[:300],  # in this order: what is left of a value that is cut is not known any more
        remedy=f"This is a mistake in Portside; {details}. What was begun on hosts is finished or "
        "undone by the next command.",
    )


class _Console(Console):
    """Rich's, which outlives its reader: a release isn't over because nobody looks on."""

    def on_broken_pipe(self) -> None:
        unread(self.file)


def unread(stream: IO[str]) -> None:
    """Whoever read `stream` is gone: what is written to it from now on goes nowhere, and fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _print_object(data: dict[str, Any]) -> None:
    try:
        print(json.dumps(data, default=str), flush=True)
    except BrokenPipeError:
        unread(sys.stdout)


def _console(*, stderr: bool) -> Console:
    # Emoji: `fd00:a:b::1` is an address.
    console = _Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)
    # Not rich's is_terminal, which FORCE_COLOR makes true of a CI's log.
    if not console.file.isatty():
        # Whoever reads a pipe or a CI log wants whole ids, not what fits 80 columns.
        console.width = 200
    return console


def as_data(error: PortsideError) -> dict[str, Any]:
    return {
        "error": error.what,
        "where": error.where,
        "why": error.why,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }


def project(env: str | None = None) -> Config:
    """The configuration of the project in the current folder, as environment `env` sees it."""
    config = load_config(Path.cwd())
    return config if env is None else config.seen_from(env)


def number(text: str, argument: str, least: int, most: int) -> int:
    """The whole number that was typed as `argument`. Raises ConfigError."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ConfigError(f"it takes a whole number from {least} to {most}, not {text!r}", where=argument)
    return value


def run(
    act: Callable[[Terminal], Awaitable[int | None]],
    *,
    machine: bool = False,
    failed: Callable[[PortsideError], dict[str, Any] | None] = lambda _: {},
) -> None:
    """Run one command and leave with its exit code. No traceback reaches a user for what a user can mend.

    `failed` adds to what `--json` prints of an error; None where it prints nothing. Nothing that is printed has a known
    secret's value in it.
    """
    learn_credentials()
    with scrubbed_streams(), kept():
        code = _run(act, machine, failed)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            unread(sys.stdout)
    if code:
        sys.exit(code)


def _run(
    act: Callable[[Terminal], Awaitable[int | None]],
    machine: bool,
    failed: Callable[[PortsideError], dict[str, Any] | None],
) -> int:
    # tasks.py stopped the collector while all this was imported; what is here now stays to the end.
    gc.freeze()
    gc.enable()
    terminal = Terminal(machine=machine)
    interruption = InterruptionError("interrupted")

    async def whole() -> int:
        nonlocal interruption
        this = asyncio.current_task()
        # As Ctrl-C; a CI that has sent that already and gets impatient must not end the undo.
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, lambda: this and (this.cancelling() or this.cancel())
        )
        try:
            with terminal.reporter:
                async with reminded(terminal.reporter):
                    return await act(terminal) or 0
        except InterruptionError as error:
            # It says what is left. To asyncio, which may have been interrupted once more, it stays what it was.
            interruption = error
            raise asyncio.CancelledError from None

    try:
        return asyncio.run(whole())
    except PortsideError as error:
        terminal.error(error, failed(error))
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        terminal.error(interruption, failed(interruption))
        return interruption.exit_code
    except BaseException as error:
        known = _known(error)
        if known is None:
            if not isinstance(error, Exception):
                raise
            known = _unexpected(error)
        terminal.error(known, failed(known))
        return known.exit_code
