"""What people are told of an operation: the event as a value, and its words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from portside.config import NewsKind

# A tired person reads the beginning.
REASON_CHARACTERS = 1_500
HOSTS_NAMED = 10


class Event(BaseModel):
    """How an operation ended; what a webhook gets as JSON. It has no secret value in it.

    `failed` never took traffic, `undone` did; `previous` served before the operation. `seconds` is from the first
    change on a host to the end, `link` the CI run's page, "" for a person's own command.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: NewsKind | Literal["test"]
    operation: Literal["deploy", "rollback"]
    service: str
    env: str
    release: str
    previous: str | None
    by: str
    commit: str
    hosts: tuple[str, ...]
    seconds: float | None
    reason: str
    link: str
    at: datetime


@dataclass(frozen=True)
class Message:
    """An event in words: a title of one line, what happened, why, and what to type next."""

    title: str
    facts: str
    reason: str
    next: str
    command: str
    link: str

    @property
    def text(self) -> str:
        lines = (
            self.title,
            self.facts,
            self.reason and f"Why: {self.reason}",
            f"{self.next} {self.command}",
            self.link,
        )
        return "\n".join(line for line in lines if line)


def message(event: Event) -> Message:
    """What a person reads of `event`, wherever it arrives."""
    operation = f"{event.operation} {'to' if event.operation == 'deploy' else 'in'} {event.env}"
    titles = {
        "released": f"✓ {event.service} {event.release} serves {event.env}",
        "rolled-back": f"✓ {event.service} is back at {event.release} in {event.env}",
        "failed": f"✗ {event.service}: {operation} failed before it took traffic",
        "undone": f"✗ {event.service}: {operation} was undone",
        "unfinished": f"✗ {event.service}: {operation} is unfinished, somebody has to look",
        "test": f"✓ {event.service}: a test message for {event.env}",
    }
    next_, command = _next(event)
    return Message(titles[event.kind], _facts(event), event.reason[:REASON_CHARACTERS], next_, command, event.link)


def _facts(event: Event) -> str:
    if event.kind == "test":
        return f"{event.by} wants to know whether this arrives. Nothing was released."
    commit = f", commit {event.commit[:12]}" if event.commit else ""
    took = f" after {event.seconds:.1f} s" if event.seconds is not None else ""
    on = f"{_named(event.hosts)}, by {event.by}{commit}"
    serves = f"{event.previous} serves" if event.previous else "Nothing serves"
    return {
        "released": f"On {on}{took}." + (f" Before it: {event.previous}." if event.previous else ""),
        "rolled-back": f"On {on}{took}." + (f" It was at {event.previous}." if event.previous else ""),
        "failed": f"{event.release} on {on}; put back{took}. {serves} as before.",
        "undone": f"{event.release} on {on}; traffic was moved back{took}. {serves} again."
        if event.previous
        else f"{event.release} on {on}; taken away again{took}. Nothing serves, as before it.",
        "unfinished": f"{event.release} on {on}; it stopped{took}. Before it: {event.previous or 'nothing'}.",
    }[event.kind]


def _named(hosts: tuple[str, ...]) -> str:
    more = len(hosts) - HOSTS_NAMED
    return ", ".join(hosts[:HOSTS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _next(event: Event) -> tuple[str, str]:
    env = f"--env {event.env}"
    if event.kind == "released" and event.previous:
        return "Back again:", f"invoke rollback {env}"
    if event.kind == "rolled-back":
        return "Forward again, once mended:", f"invoke deploy {env}"
    if event.kind in ("failed", "undone") and event.operation == "deploy":
        return "Mend the cause and type:", f"invoke deploy {env}"
    if event.kind == "unfinished":
        return "To go on with it, type:", f"invoke status {env}"
    return "What runs where:", f"invoke status {env}"
