"""A program of one's own: the event as JSON, signed as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

from portside.config import Notifier
from portside.notify.base import NotToldError
from portside.notify.event import Event, message
from portside.notify.http import post

PREFIX = "whsec_"


def send(settings: Notifier, secrets: Mapping[str, str], event: Event) -> None:
    body = json.dumps(payload(event)).encode()
    # Receivers refuse what is older than a few minutes, so that nobody can play it to them again.
    headers = {"webhook-id": event.id, "webhook-timestamp": str(int(time.time()))}
    if settings.signing_secret:
        key = _key(secrets["signing_secret"])
        headers["webhook-signature"] = signature(key, headers["webhook-id"], headers["webhook-timestamp"], body)
    post(secrets["secret"], body, headers)


def payload(event: Event) -> dict[str, object]:
    """The event, and the words in which people are told of it."""
    said = message(event)
    return {**event.model_dump(mode="json"), "title": said.title, "text": said.text, "next": said.command}


def signature(key: bytes, identity: str, timestamp: str, body: bytes) -> str:
    """Version 1: HMAC-SHA256 over id, timestamp and body (standardwebhooks.com, Signature scheme)."""
    digest = hmac.new(key, b".".join((identity.encode(), timestamp.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not key:
        raise NotToldError(f"its signing_secret is not {PREFIX} and bytes in base64")
    return key
