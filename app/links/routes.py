"""The service's own HTTP routes: thin, from a request to the store and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from app.links.cursor import decode_cursor, encode_cursor
from app.links.messages import LinkPage, LinkView, NewLink
from app.links.store import LinkStore
from app.problems import documented

router = APIRouter()


# Dependencies are async although they wait for nothing: FastAPI sends others to its thread pool.
async def _store(request: Request) -> LinkStore:
    store: LinkStore = request.app.state.links
    return store


async def _now() -> datetime:
    return datetime.now(UTC)


Store = Annotated[LinkStore, Depends(_store)]
Now = Annotated[datetime, Depends(_now)]


@router.post("/links", status_code=201, responses=documented(409, 422, 503))
async def create_link(new: NewLink, response: Response, links: Store, now: Now) -> LinkView:
    """Create a link, with a slug of one's own or one that is made up."""
    link = await links.create(url=str(new.url), slug=new.slug, expires_at=new.expires_at, now=now)
    response.headers["Location"] = f"/links/{link.slug}"
    return LinkView.model_validate(link)


@router.head("/links", include_in_schema=False)
@router.get("/links", responses=documented(422, 503))
async def list_links(
    links: Store,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> LinkPage:
    """The newest links, page by page."""
    after_id = decode_cursor(cursor) if cursor is not None else None
    # One more than asked for tells whether there is a next page.
    found = await links.newest(limit=limit + 1, after_id=after_id)
    page = found[:limit]
    return LinkPage(
        items=[LinkView.model_validate(link) for link in page],
        next_cursor=encode_cursor(page[-1].id) if len(found) > limit else None,
    )


@router.head("/links/{slug}", include_in_schema=False)
@router.get("/links/{slug}", responses=documented(404, 503))
async def get_link(slug: str, links: Store) -> LinkView:
    """One link, with how often it was followed."""
    return LinkView.model_validate(await links.get(slug))


@router.delete("/links/{slug}", status_code=204, responses=documented(404, 503))
async def delete_link(slug: str, links: Store) -> None:
    """Delete a link. Its slug is free again at once."""
    await links.delete(slug)


@router.get("/{slug}", status_code=307, response_class=Response, responses=documented(404, 410, 503))
async def follow_link(slug: str, links: Store, now: Now) -> Response:
    """Go where the link points. The answer isn't cached, so that every visit counts."""
    return _redirect(await links.follow(slug, now=now))


@router.head("/{slug}", include_in_schema=False)
async def look_at_link(slug: str, links: Store, now: Now) -> Response:
    """What link checkers ask: the answer is a visitor's, but nobody visits."""
    return _redirect(await links.target(slug, now=now))


def _redirect(target: str) -> Response:
    return Response(status_code=307, headers={"Location": target, "Cache-Control": "no-store"})
