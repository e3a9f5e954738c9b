"""What callers of the links API can rely on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update

from app.links.slugs import RESERVED
from app.models import Link

TARGET = "https://example.com/a?b=c"


def in_one_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/links", json={"url": TARGET, **fields})


async def expire(app: Any, slug: str) -> None:
    """Let the time of a link be over, as if it had been created long ago."""
    async with app.state.links._database.transaction() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await connection.execute(update(Link).where(Link.slug == slug).values(expires_at=past))


async def test_a_created_link_says_where_it_is_and_redirects(client: httpx.AsyncClient) -> None:
    created = await create(client)
    assert created.status_code == 201
    slug = created.json()["slug"]
    assert created.headers["location"] == f"/links/{slug}"

    followed = await client.get(f"/{slug}")
    assert followed.status_code == 307
    assert followed.headers["location"] == TARGET
    assert followed.headers["cache-control"] == "no-store"


async def test_head_is_answered_like_get_and_counts_no_hit(client: httpx.AsyncClient, app: Any) -> None:
    await create(client, slug="mine", expires_at=in_one_hour())
    looked = await client.head("/mine")
    assert (looked.status_code, looked.headers["location"]) == (307, TARGET)
    assert (await client.get("/links/mine")).json()["hits"] == 0
    await expire(app, "mine")
    paths = ("/mine", "/unknown", "/links", "/links/mine", "/links/unknown")
    assert [(await client.head(path)).status_code for path in paths] == [410, 404, 200, 200, 404]


async def test_a_chosen_slug_is_kept(client: httpx.AsyncClient) -> None:
    assert (await create(client, slug="my-Slug_1")).json()["slug"] == "my-Slug_1"


async def test_a_taken_slug_is_a_conflict_and_changes_nothing(client: httpx.AsyncClient) -> None:
    await create(client, slug="mine")
    second = await client.post("/links", json={"url": "https://other.example", "slug": "mine"})
    assert second.status_code == 409
    assert second.json()["type"] == "urn:problem:slug-taken"
    assert (await client.get("/mine")).headers["location"] == TARGET


async def test_a_conflict_of_anything_but_the_slug_is_an_error(client: httpx.AsyncClient, app: Any) -> None:
    async with app.state.links._database.transaction() as connection:
        await connection.execute(text("CREATE UNIQUE INDEX one_link_per_url ON links (url)"))
    assert (await create(client, slug="mine")).status_code == 201
    assert [(await create(client, **chosen)).status_code for chosen in ({"slug": "other"}, {})] == [500, 500]


async def test_one_of_many_who_want_the_same_slug_at_once_gets_it(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(create(client, slug="wanted") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_every_visit_at_once_is_counted(client: httpx.AsyncClient) -> None:
    await create(client, slug="busy")
    await asyncio.gather(*(client.get("/busy") for _ in range(50)))
    assert (await client.get("/links/busy")).json()["hits"] == 50


@pytest.mark.parametrize("url", ["ftp://example.com", "javascript:alert(1)", "example.com", "", "http://"])
async def test_only_http_urls_are_accepted(client: httpx.AsyncClient, url: str) -> None:
    answer = await create(client, url=url)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "body/url"


@pytest.mark.parametrize("long", ["x" * 2040, "é" * 1000])
async def test_an_url_that_cannot_be_stored_is_refused_by_what_would_be_stored(
    client: httpx.AsyncClient, long: str
) -> None:
    """PostgreSQL would refuse it; SQLite stores everything."""
    answer = await create(client, url=f"https://e.com/{long}")
    assert answer.status_code == 422
    assert "2048 characters" in answer.json()["errors"][0]["detail"]
    longest = f"https://e.com/{'é' * 339}"
    kept = await create(client, url=longest)
    assert kept.status_code == 201
    assert len(kept.json()["url"]) == len("https://e.com/") + 339 * 6


@pytest.mark.parametrize("slug", ["ab", "with space", "sl/ash", "ünï", "a" * 65, "abc\n"])
async def test_malformed_slugs_are_refused(client: httpx.AsyncClient, slug: str) -> None:
    assert (await create(client, slug=slug)).status_code == 422


@pytest.mark.parametrize("slug", [*sorted(RESERVED), "Health", "METRICS"])
async def test_reserved_slugs_are_refused(client: httpx.AsyncClient, slug: str) -> None:
    answer = await create(client, slug=slug)
    assert answer.json()["errors"] == [{"pointer": "body/slug", "detail": "this slug is reserved"}]


async def test_no_route_of_the_service_could_be_hidden_by_a_slug(app: Any) -> None:
    paths = {path.strip("/") for path in app.openapi()["paths"]} | {"health", "readiness", "metrics", "docs"}
    assert {path for path in paths if "/" not in path and "{" not in path} <= RESERVED


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "soon"])
async def test_an_expiry_has_to_be_a_future_time_with_a_zone(client: httpx.AsyncClient, moment: str) -> None:
    assert (await create(client, expires_at=moment)).status_code == 422


async def test_a_misspelt_field_is_an_error_not_ignored(client: httpx.AsyncClient) -> None:
    assert (await create(client, expires="2999-01-01T00:00:00Z")).status_code == 422


async def test_an_expired_link_is_gone_and_no_longer_counted(client: httpx.AsyncClient, app: Any) -> None:
    await create(client, slug="brief", expires_at=in_one_hour())
    assert (await client.get("/brief")).status_code == 307
    await expire(app, "brief")
    assert (await client.get("/brief")).status_code == 410
    assert (await client.get("/links/brief")).json()["hits"] == 1


@pytest.mark.parametrize("slug", ["unknown", "favicon.ico", "a%00b", "%F0%9F%92%A9", "a" * 500])
async def test_an_unknown_slug_is_not_found_whatever_it_looks_like(client: httpx.AsyncClient, slug: str) -> None:
    for answer in (
        await client.get(f"/{slug}"),
        await client.get(f"/links/{slug}"),
        await client.delete(f"/links/{slug}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:problem:link-not-found"


async def test_a_deleted_link_is_gone_and_its_slug_is_free(client: httpx.AsyncClient) -> None:
    await create(client, slug="once")
    assert (await client.delete("/links/once")).status_code == 204
    assert (await client.get("/once")).status_code == 404
    assert (await create(client, slug="once")).status_code == 201


async def test_pages_show_every_link_once_newest_first(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await create(client, slug=f"link-{number}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await client.get("/links", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [link["slug"] for link in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # What is created meanwhile neither shifts the pages nor appears twice.
        await create(client)
    assert seen == ["link-4", "link-3", "link-2", "link-1", "link-0"]


@pytest.mark.parametrize("cursor", ["", "x", "a===", "aWQ6MA", "aWQ6OTk5OTk5OTk5OTk5OTk5OTk5OTk", "ü", "aWQ6wrI"])
async def test_a_made_up_cursor_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/links", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "query/cursor"


@pytest.mark.parametrize("limit", [0, 101, "many"])
async def test_a_page_has_between_1_and_100_links(client: httpx.AsyncClient, limit: int | str) -> None:
    assert (await client.get("/links", params={"limit": limit})).status_code == 422
