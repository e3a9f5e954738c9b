"""Refuses request bodies that no endpoint here could want, before they fill the memory."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The longest valid body is a URL of 2,048 characters and its slug, all of it escaped.
MAX_BODY_BYTES = 16 * 1024


class BodyLimitMiddleware:
    """Raises where the body is read, so that the answer is a problem like any other (FastAPI's own
    `max_body_size` answers in plain text)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nothing here reads the body of a GET.
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > MAX_BODY_BYTES:
                    raise HTTPException(413, f"A request body may have {MAX_BODY_BYTES} bytes at most.")
            return message

        await self._app(scope, limited, send)
