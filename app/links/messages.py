"""What callers send and what they get back, as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, AwareDatetime, BaseModel, ConfigDict, Field, UrlConstraints

from app.links import slugs
from app.models import MAX_URL


def _not_reserved(slug: str) -> str:
    if slugs.is_reserved(slug):
        raise ValueError("this slug is reserved")
    return slug


def _in_future(moment: datetime) -> datetime:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a date that can be stored") from None
    if in_utc <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return in_utc


def _storable(url: AnyHttpUrl) -> AnyHttpUrl:
    # UrlConstraints counts what was sent; what is stored has its special characters written out, three for one.
    if len(str(url)) > MAX_URL:
        raise ValueError(f"URL should have at most {MAX_URL} characters, with special ones percent-encoded")
    return url


TargetUrl = Annotated[AnyHttpUrl, UrlConstraints(max_length=MAX_URL), AfterValidator(_storable)]
NewSlug = Annotated[str, Field(pattern=slugs.PATTERN), AfterValidator(_not_reserved)]
FutureTime = Annotated[AwareDatetime, AfterValidator(_in_future)]


class NewLink(BaseModel):
    """A link to create; without a slug, one is made up."""

    model_config = ConfigDict(extra="forbid")

    url: TargetUrl
    slug: NewSlug | None = None
    expires_at: FutureTime | None = None


class LinkView(BaseModel):
    """A link as callers see it."""

    model_config = ConfigDict(from_attributes=True)

    slug: str
    url: str
    hits: int
    created_at: datetime
    expires_at: datetime | None


class LinkPage(BaseModel):
    """Some links, newest first; `next_cursor` is null on the last page."""

    items: list[LinkView]
    next_cursor: str | None
