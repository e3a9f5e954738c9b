"""Run one external command on this machine: argument list in, checked result out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.errors import CommandError

TAIL_LINES = 15


@dataclass(frozen=True)
class Result:
    """What a command left behind. `argv` is safe to show: secrets never travel in arguments."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    where: str = "this machine"

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace").strip()

    def check(self, what: str = "", *, remedy: str = "") -> Result:
        """Return self, or raise CommandError with what ran, where, and the end of its output."""
        if self.exit_code == 0:
            return self
        raise CommandError(
            what or f"`{shown(self.argv)}` failed with exit code {self.exit_code}",
            where=self.where,
            why=tail(self.stderr or self.stdout),
            remedy=remedy,
        )


def shown(argv: Sequence[str], limit: int = 200) -> str:
    """The command as a person would type it, cut to `limit` characters."""
    # A script of ours is known by its name: its text would bury it, and everything after it.
    named = argv[3:] if tuple(argv[:2]) == ("bash", "-c") and len(argv) > 3 else argv
    line = shlex.join(named)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def tail(output: bytes | str, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of an output, for an error."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    return "\n".join(text.strip().splitlines()[-lines:])


async def run_command(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    inherit: bool = True,
    terminal: bool = False,
) -> Result:
    """Run `argv` to its end. `timeout` is in seconds; `env` is added to this process's own, or is all there is
    without `inherit`: for a program that has no business with the secrets in there. With `terminal` it stays in this
    process's session, for a program that knows its person by the terminal; without, it can ask nobody anything.

    Returns a Result whatever the exit code; call `.check()` to insist on success.
    Raises CommandError when the program is missing or the time-out passes (the whole process group is killed).
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**(os.environ if inherit else {}), **(env or {})},
            cwd=cwd,
            start_new_session=not terminal,
            process_group=0 if terminal else None,
        )
    except FileNotFoundError as error:
        raise CommandError(f"`{argv[0]}` is not installed", where="this machine") from error
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError:
        raise CommandError(f"`{shown(argv)}` did not finish within {timeout:g} s", where="this machine") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Result(tuple(argv), process.returncode or 0, stdout, stderr)
