"""Every error is a problem document, and none tells more than a caller should know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["type"] == "about:blank" or body["type"].startswith("urn:problem:")
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    body = assert_problem(await client.get("/no/such/path"), 404)
    assert body["instance"] == "/no/such/path"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/links", "GET, HEAD, POST"),
        ("/links/some-slug", "DELETE, GET, HEAD"),
        ("/some-slug", "GET, HEAD"),
        ("/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_a_problem_that_names_all_right_ones(
    client: httpx.AsyncClient, path: str, methods: str
) -> None:
    answer = await client.put(path)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == methods


async def test_invalid_input_is_named_but_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/links", json={"url": "hunter2-is-no-url", "slug": "mine"})
    body = assert_problem(answer, 422)
    assert [error["pointer"] for error in body["errors"]] == ["body/url"]
    assert "hunter2" not in answer.text


async def test_broken_json_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/links", content=b"{", headers={"content-type": "application/json"})
    assert_problem(answer, 422)


async def test_a_body_that_is_too_large_is_a_problem(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/links", json={"url": "https://example.com/" + "a" * 20_000}), 413)


async def test_a_crash_tells_the_caller_nothing_and_the_log_everything(
    client: httpx.AsyncClient, app: Any, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    class Broken:
        async def get(self, slug: str) -> None:
            raise RuntimeError("the internals of " + slug)

    app.state.links = Broken()
    answer = await client.get("/links/some-slug")
    body = assert_problem(answer, 500)
    assert "internals" not in answer.text

    crash, access = (line for line in log_lines() if line["request_id"] == body["request_id"])
    assert crash["level"] == "error"
    assert crash["exception.type"] == "RuntimeError"
    assert crash["exception.message"] == "the internals of some-slug"
    assert "in get_link" in crash["exception.stacktrace"]
    assert access["http.response.status_code"] == 500


@pytest.mark.parametrize(("method", "path"), [("GET", "/links"), ("GET", "/abc"), ("DELETE", "/links/abc")])
async def test_a_database_that_is_away_is_a_503_with_retry_after(method: str, path: str) -> None:
    settings = Settings(
        DATABASE_URL="postgresql://links:hunter2@127.0.0.1:1/links", DATABASE_TIMEOUT=1, DATA_DIR=Path("/tmp")
    )
    application = create_app(settings)
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://links.test") as client:
        answer = await client.request(method, path)
    assert_problem(answer, 503)
    assert answer.headers["retry-after"]
    assert "hunter2" not in answer.text
