"""Who a request is, for everything that logs or answers on its behalf."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID_HEADER = b"x-request-id"

_WELL_FORMED_ID = re.compile(rb"[A-Za-z0-9._:-]{8,128}")
# W3C Trace Context, level 1: version-trace_id-parent_id-flags; ff is no version, zeros are no ids.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The ids of one request; the trace's are empty without a traceparent header."""

    request_id: str
    trace_id: str = ""
    span_id: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """As log lines carry them."""
        if not self.trace_id:
            return {"request_id": self.request_id}
        return {"request_id": self.request_id, "trace_id": self.trace_id, "span_id": self.span_id}

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> RequestContext:
        """Take over well-formed ids from the caller; anything else could forge a log line."""
        request_id = trace_id = span_id = ""
        for name, value in headers:
            if name == REQUEST_ID_HEADER and _WELL_FORMED_ID.fullmatch(value):
                request_id = value.decode("ascii")
            elif name == b"traceparent" and (trace := _TRACEPARENT.fullmatch(value)):
                trace_id, span_id = trace[1].decode("ascii"), trace[2].decode("ascii")
        return cls(request_id or secrets.token_hex(16), trace_id, span_id)


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)


def current_request_id() -> str | None:
    context = current_request.get()
    return context.request_id if context else None
