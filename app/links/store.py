"""The links in the database. Every method is one transaction; time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.database import Database
from app.links.slugs import is_well_formed, random_slug
from app.models import Link

_ATTEMPTS = 5
_COLUMNS = (Link.id, Link.slug, Link.url, Link.hits, Link.created_at, Link.expires_at)


class SlugTakenError(Exception):
    """Another link has this slug, perhaps an expired one that wasn't deleted yet."""


class LinkNotFoundError(Exception):
    """There is no link with this slug."""


class LinkExpiredError(Exception):
    """There is a link with this slug, but its time is over."""


@dataclass(frozen=True, slots=True)
class StoredLink:
    """One link, as it was when it was read."""

    id: int
    slug: str
    url: str
    hits: int
    created_at: datetime
    expires_at: datetime | None


class LinkStore:
    """What the service does with links, in terms of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, *, url: str, slug: str | None, expires_at: datetime | None, now: datetime) -> StoredLink:
        """Raises SlugTakenError for a chosen slug; made-up ones are tried again."""
        insert = postgresql.insert if self._database.is_postgres else sqlite.insert
        for _ in range(_ATTEMPTS if slug is None else 1):
            values = {"slug": slug or random_slug(), "url": url, "hits": 0, "created_at": now, "expires_at": expires_at}
            # A conflict of anything but the slug stays an error: the caller couldn't help it.
            unless_taken = insert(Link).values(values).on_conflict_do_nothing(index_elements=[Link.slug])
            async with self._database.transaction() as connection:
                row = (await connection.execute(unless_taken.returning(*_COLUMNS))).one_or_none()
            if row is not None:
                return _link(row)
        raise SlugTakenError(slug)

    async def follow(self, slug: str, *, now: datetime) -> str:
        """Count a hit and return the target. Raises LinkNotFoundError, LinkExpiredError."""
        if not is_well_formed(slug):
            raise LinkNotFoundError(slug)
        # Counted by the database in the statement that finds it: two at once are two hits.
        counted = (
            update(Link)
            .where(Link.slug == slug, or_(Link.expires_at.is_(None), Link.expires_at > now))
            .values(hits=Link.hits + 1)
            .returning(Link.url)
        )
        async with self._database.transaction() as connection:
            target = (await connection.execute(counted)).scalar_one_or_none()
            if target is not None:
                return target
            exists = (await connection.execute(select(Link.id).where(Link.slug == slug))).one_or_none()
        raise LinkExpiredError(slug) if exists else LinkNotFoundError(slug)

    async def target(self, slug: str, *, now: datetime) -> str:
        """Where a link points, without a hit. Raises LinkNotFoundError, LinkExpiredError."""
        link = await self.get(slug)
        if link.expires_at is not None and link.expires_at <= now:
            raise LinkExpiredError(slug)
        return link.url

    async def get(self, slug: str) -> StoredLink:
        """Raises LinkNotFoundError. An expired link is still there to look at until it is deleted."""
        if not is_well_formed(slug):
            raise LinkNotFoundError(slug)
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(*_COLUMNS).where(Link.slug == slug))).one_or_none()
        if row is None:
            raise LinkNotFoundError(slug)
        return _link(row)

    async def newest(self, *, limit: int, after_id: int | None) -> Sequence[StoredLink]:
        """Newest first, starting after the link with this id."""
        query = select(*_COLUMNS).order_by(Link.id.desc()).limit(limit)
        if after_id is not None:
            query = query.where(Link.id < after_id)
        async with self._database.transaction() as connection:
            return [_link(row) for row in (await connection.execute(query)).all()]

    async def delete(self, slug: str) -> None:
        """Raises LinkNotFoundError."""
        if not is_well_formed(slug):
            raise LinkNotFoundError(slug)
        async with self._database.transaction() as connection:
            deleted = await connection.execute(delete(Link).where(Link.slug == slug).returning(Link.id))
            if deleted.one_or_none() is None:
                raise LinkNotFoundError(slug)

    async def delete_expired(self, *, now: datetime, at_most: int) -> int:
        """How many were deleted. Bounded, so that a backlog never becomes one long transaction."""
        expired = select(Link.id).where(Link.expires_at <= now).order_by(Link.expires_at).limit(at_most)
        async with self._database.transaction() as connection:
            deleted = await connection.execute(delete(Link).where(Link.id.in_(expired)).returning(Link.id))
            return len(deleted.all())


def _link(row: Row[int, str, str, int, datetime, datetime | None]) -> StoredLink:
    return StoredLink(*row)
