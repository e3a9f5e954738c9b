"""Which database to use, from a URL as people and platforms write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})

# asyncpg knows libpq's sslmode as `ssl`, and has no use for the others.
RENAMED_PARAMETERS = {"sslmode": "ssl"}
LIBPQ_ONLY_PARAMETERS = frozenset({"channel_binding", "gssencmode", "target_session_attrs"})


class DatabaseUrlError(ValueError):
    """The message says what is wrong with the URL without repeating any of it."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL for SQLAlchemy's asyncio engine. Its repr keeps the password to itself."""

    url: str
    is_postgres: bool

    def __repr__(self) -> str:
        return f"DatabaseUrl({'postgresql' if self.is_postgres else self.url})"

    @classmethod
    def for_file(cls, path: Path) -> DatabaseUrl:
        return cls(f"sqlite+aiosqlite:///{path}", is_postgres=False)

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Accept postgres://, postgresql:// and sqlite:///; raise DatabaseUrlError for the rest."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise DatabaseUrlError("not a URL; expected postgresql://user:password@host/name") from None
        if parts.scheme in {"sqlite", "sqlite+aiosqlite"}:
            return cls.for_file(Path(parts.path.removeprefix("/") or "links.db"))
        if parts.scheme not in POSTGRES_SCHEMES:
            raise DatabaseUrlError("expected a URL that starts with postgresql://, postgres:// or sqlite:///")
        if not parts.path.strip("/"):
            raise DatabaseUrlError("the database's name is missing at the end of the URL")
        if port == 0:
            raise DatabaseUrlError("port 0 can't be connected to")
        parameters = [
            (RENAMED_PARAMETERS.get(name, name), value)
            for name, value in parse_qsl(parts.query)
            if name not in LIBPQ_ONLY_PARAMETERS
        ]
        query = f"?{urlencode(parameters)}" if parameters else ""
        return cls(f"postgresql+asyncpg://{parts.netloc}{parts.path}{query}", is_postgres=True)
