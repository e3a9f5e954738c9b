"""The one tree of errors: each says what happened, where, why, and what to type next.

Exit codes are a contract, documented in docs/exit-codes.md and stable between versions.
"""

from __future__ import annotations

from typing import ClassVar


class PortsideError(Exception):
    """Something the user can act on. Printed without a traceback; ends the command with `exit_code`.

    `what` is one sentence; `where` a file, key, host or command; `why` the end of some output;
    `remedy` what to do or type next. None of them may hold a secret value.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy
        # What an operation had done when it failed, for a report; set by portside/operations.py.
        self.outcome: object | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return "\n".join(part for part in (head, self.why, self.remedy) if part)


class ConfigError(PortsideError):
    """A file, key or argument is wrong. Nothing was started."""

    exit_code = 3


class HostError(PortsideError):
    """A host can't be reached, isn't trusted, or stopped answering; or its proxy or an accessory did not start."""

    exit_code = 4


class PreflightError(PortsideError):
    """A host isn't fit for the release, or needs a rollback first. Nothing has changed."""

    exit_code = 5


class LockError(PortsideError):
    """Somebody else is releasing to this environment, took the lock from us, or is still at work on a host."""

    exit_code = 6


class ReleaseError(PortsideError):
    """A release failed and was undone; the previous one serves."""

    exit_code = 7


class UnfinishedError(PortsideError):
    """A release could not be undone, or not be committed, on every host. The next command goes on with it."""

    exit_code = 8


class BuildError(PortsideError):
    """An image could not be built, assembled, pulled or pushed."""

    exit_code = 9


class CommandError(PortsideError):
    """An external command failed, or ran past its time-out."""

    exit_code = 10


class ScanError(PortsideError):
    """An image failed its scan, has none that counts, or could not be scanned."""

    exit_code = 11


class SignatureError(PortsideError):
    """An image could not be signed, or isn't signed by whom the environment demands. Nothing has changed."""

    exit_code = 12


class SecretSourceError(PortsideError):
    """A source of secrets could not be asked. Nothing was started."""

    exit_code = 13


class UnexpectedError(PortsideError):
    """A mistake in Portside itself. The details are in .portside/crash.txt."""

    exit_code = 70


class InterruptionError(PortsideError):
    """Interrupted. A release was undone where it wasn't committed yet, and stands where it was."""

    exit_code = 130
