"""Slack, and what takes its incoming webhooks' messages: blocks for Slack, plain text for the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from portside.config import Notifier
from portside.notify.event import Event, message
from portside.notify.http import post

# Of one text in a block; a longer one is refused as a whole (docs.slack.dev, Section block).
BLOCK_CHARACTERS = 3_000


def send(_: Notifier, secrets: Mapping[str, str], event: Event) -> None:
    post(secrets["secret"], json.dumps(payload(event)).encode(), {})


def payload(event: Event) -> dict[str, Any]:
    """`text` is what a phone's notification shows, and all of it where blocks are unknown."""
    said = message(event)
    lines = [f"*{_escaped(said.title)}*", _escaped(said.facts)]
    if said.reason:
        lines += [f"> {_escaped(line)}" for line in said.reason.splitlines()]
    foot = f"{_escaped(said.next)} `{_escaped(said.command)}`"
    if said.link:
        foot += f" · <{_escaped(said.link)}|the run>"
    return {
        "text": _escaped(said.text),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": _cut("\n".join(lines))}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]},
        ],
    }


def _cut(escaped: str) -> str:
    """As much of it as fits a block, and no half of an escape at its end."""
    if len(escaped) <= BLOCK_CHARACTERS:
        return escaped
    return re.sub(r"&[a-z]*$", "", escaped[: BLOCK_CHARACTERS - 1]) + "…"


def _escaped(text: str) -> str:
    """The three characters with a meaning (docs.slack.dev, Formatting message text): nobody is called by a log line."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
