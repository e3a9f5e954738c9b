"""Which slugs there may be, and how a free one is made up."""

from __future__ import annotations

import re
import secrets

PATTERN = r"^[A-Za-z0-9_-]{3,64}$"

# Paths of the service itself, and those that it, a proxy or a browser may come to need.
RESERVED = frozenset(
    {
        "admin", "api", "app", "assets", "docs", "favicon", "health", "healthz", "links", "livez", "login",
        "logout", "metrics", "openapi", "openapi-json", "readiness", "ready", "readyz", "redoc", "robots",
        "security", "sitemap", "static", "status", "well-known",
    }
)  # fmt: skip

# Without 0/O and 1/l/I, which people mix up when they read a link aloud. 7 of 57: 2e12 slugs.
_ALPHABET = "23456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_LENGTH = 7

_well_formed = re.compile(PATTERN)


def is_well_formed(slug: str) -> bool:
    """False means that no link can have this slug, whatever the database says."""
    return _well_formed.match(slug) is not None and not slug.endswith("\n")


def is_reserved(slug: str) -> bool:
    return slug.lower() in RESERVED


def random_slug() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
