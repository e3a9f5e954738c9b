"""Every error answer of the service, as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.database import DatabaseUnavailableError
from app.links.cursor import CursorError
from app.links.store import LinkExpiredError, LinkNotFoundError, SlugTakenError
from app.request_context import current_request_id

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. Without a `name` its type is about:blank: the status says it all."""

    status: int
    detail: str = ""
    name: str = ""
    title: str = ""
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, instance: str) -> bytes:
        members: dict[str, Any] = {
            "type": f"urn:problem:{self.name}" if self.name else "about:blank",
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
        }
        if self.detail:
            members["detail"] = self.detail
        members["instance"] = instance
        members["request_id"] = current_request_id()
        if self.errors:
            members["errors"] = self.errors
        return orjson.dumps(members)

    def response(self, instance: str) -> Response:
        return Response(self.body(instance), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers)


# What a caller learns of a crash. The cause is in the log, under the same request id.
UNEXPECTED = Problem(500, "The request could not be completed. The request_id helps to find out why.")

# For a request that takes longer than what a stopping process may wait for.
CUT_OFF = Problem(503, "The service was stopped before it could answer.", "cut-off", headers={"Retry-After": "1"})

_UNAVAILABLE = Problem(
    503, "The database is not available at the moment.", "database-unavailable", headers={"Retry-After": "2"}
)

_BY_EXCEPTION: dict[type[Exception], Problem] = {
    SlugTakenError: Problem(409, "Another link has this slug.", "slug-taken", "Slug taken"),
    LinkNotFoundError: Problem(404, "There is no link with this slug.", "link-not-found", "Link not found"),
    LinkExpiredError: Problem(410, "This link has expired.", "link-expired", "Link expired"),
    CursorError: Problem(
        422,
        "The request is not valid.",
        "invalid-request",
        "Invalid request",
        errors=[{"pointer": "query/cursor", "detail": "not a cursor of this service"}],
    ),
}


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error that a route, the router or validation raises a problem."""

    def always(problem: Problem) -> Callable[[Request, Exception], Any]:
        async def answer(request: Request, _error: Exception) -> Response:
            return problem.response(request.url.path)

        return answer

    for exception, problem in _BY_EXCEPTION.items():
        app.add_exception_handler(exception, always(problem))
    app.add_exception_handler(DatabaseUnavailableError, _answer_unavailable)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    logger.warning("the database is not available: {}", error)
    return _UNAVAILABLE.response(request.url.path)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else ""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return Problem(error.status_code, detail, headers=headers).response(request.url.path)


def _methods_of(request: Request) -> set[str]:
    """Of all routes that have this path. The router names only those of the first."""
    routes = iter_route_contexts(request.app.router.routes)
    found = [route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return set().union(*found)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    # Where and why, never the value: it may be what the caller should not have sent.
    errors = [
        {"pointer": "/".join(str(part) for part in entry["loc"]), "detail": _reason(entry)} for entry in error.errors()
    ]
    problem = Problem(422, "The request is not valid.", "invalid-request", "Invalid request", errors=errors)
    return problem.response(request.url.path)


def _reason(entry: dict[str, Any]) -> str:
    return str(entry["msg"]).removeprefix("Value error, ")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI: these statuses answer with a problem."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
        for status in statuses
    }


_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
