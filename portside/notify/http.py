"""One POST for all notifiers that speak HTTP. The address is a secret, and stays out of what is said."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import httpx

from portside.notify.base import STEP_SECONDS, NotToldError

# Nobody has got anything then, so it may be said again.
UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout)
# A receiver that is just restarting, or has had too much: once more, then no more.
BUSY = frozenset({429, 502, 503, 504})
PAUSE = 1.0


def post(address: str, body: bytes, headers: Mapping[str, str]) -> None:
    """POST `body` to the secret `address`; NotToldError unless a 2xx answers."""
    try:
        url = httpx.URL(address.strip())
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise NotToldError("its secret is no URL that begins with https:// or http://")
    with httpx.Client(timeout=STEP_SECONDS) as client:
        try:
            answer = _once(client, url, body, headers)
        except UNREACHED:
            answer = None
        if answer is None or answer.status_code in BUSY:
            time.sleep(PAUSE)
            try:
                answer = _once(client, url, body, headers)
            except UNREACHED as error:
                why = str(error).replace(url.host, "the host")
                raise NotToldError(f"there is no connection to its URL: {why}") from None
    if not answer.is_success:
        # Slack says what is wrong in one word. Other texts may repeat the address.
        word = answer.text if re.fullmatch(r"[a-z_]{3,40}", answer.text) else ""
        raise NotToldError(f"its URL was answered with {answer.status_code} {word}".strip())


def _once(client: httpx.Client, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    try:
        return client.post(url, content=body, headers={"Content-Type": "application/json", **headers})
    except UNREACHED:
        raise
    except httpx.TimeoutException:
        raise NotToldError(f"its URL did not answer within {STEP_SECONDS:g} s") from None
    except httpx.TransportError as error:
        raise NotToldError(f"its URL could not be asked: {type(error).__name__}") from None
