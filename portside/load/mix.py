"""What traffic consists of."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

REMEMBERED = 1_000


@dataclass(frozen=True)
class Kind:
    """One kind of request, as often as its `weight` among all weights says.

    `path` is asked before each request; None means that there is nothing to ask for yet, and another kind
    is sent instead. `body` (JSON) likewise, for methods that have one. A status in `accepted` is a success,
    which `succeeded` then hears of with the body that was sent; every other status is a failure. `upload` is how many
    seconds the body takes to send, in pieces.
    """

    name: str
    weight: int
    method: str
    path: Callable[[], str | None]
    accepted: frozenset[int]
    body: Callable[[], bytes] | None = None
    succeeded: Callable[[bytes], None] | None = None
    upload: float = 0.0


def links(random: Random, *, reads: int = 9, writes: int = 1) -> tuple[Kind, ...]:
    """The links service's own traffic: links made, each under a name of its own, and links followed.

    Redirects are answers here, and aren't followed.
    """
    slugs = _slugs()
    made: list[str] = []

    def new_link() -> bytes:
        slug = next(slugs)
        return json.dumps({"slug": slug, "url": f"https://example.com/{slug}"}).encode()

    def remember(body: bytes) -> None:
        slug = json.loads(body)["slug"]
        if len(made) < REMEMBERED:
            made.append(slug)
        else:
            made[random.randrange(REMEMBERED)] = slug

    def known_link() -> str | None:
        return f"/{random.choice(made)}" if made else None

    return (
        Kind("make a link", writes, "POST", lambda: "/links", frozenset({201}), new_link, remember),
        Kind("follow a link", reads, "GET", known_link, frozenset({301, 302, 307, 308})),
    )


def pages(paths: Sequence[str]) -> tuple[Kind, ...]:
    """GETs of fixed paths, all equally often; only 200 is a success."""

    def page(path: str) -> Kind:
        return Kind(f"GET {path}", 1, "GET", lambda: path, frozenset({200}))

    return tuple(page(path) for path in paths)


def _slugs() -> Iterator[str]:
    run = secrets.token_hex(4)
    return (f"{run}{number:x}" for number in count())
