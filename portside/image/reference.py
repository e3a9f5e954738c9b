"""Image references, taken apart the way Docker does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portside.errors import ConfigError

DEFAULT_REGISTRY = "docker.io"

_PATTERN = re.compile(
    r"(?P<name>(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9][a-z0-9._/-]*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """`registry/repository:tag@digest`; `name` is registry and repository as they were written."""

    name: str
    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def tagged(self) -> str:
        """The reference without its digest: the name under which an assembled image is kept."""
        return f"{self.name}:{self.tag}"

    @property
    def one(self) -> str:
        """One image for `docker save`, which takes a name alone for all its tags."""
        return f"{self.name}@{self.digest}" if self.digest else self.tagged

    @property
    def canonical(self) -> str:
        return f"{self.registry}/{self.repository}"


def parse_reference(text: str) -> Reference:
    """`caddy:2` → docker.io/library/caddy, tag 2. Raises ConfigError when it is no reference."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is not an image reference",
            remedy="Write it as registry/name:tag, or name:tag@sha256:…",
        )
    name = match["name"]
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = DEFAULT_REGISTRY, name if slash else f"library/{name}"
    return Reference(name, registry, repository, match["tag"] or "latest", match["digest"] or "")


def content_tag(image_id: str) -> str:
    """The tag of the image with this id, which is no other one's: sha-0123456789ab."""
    return f"sha-{image_id.removeprefix('sha256:')[:12]}"
