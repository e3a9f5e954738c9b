"""Which database to use, from a URL as people and platforms write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})

# What asyncpg reads from a DSN as libpq does. As arguments of its own it would take other names, and no file of a CA.
CONNECTION_PARAMETERS = frozenset(
    {
        "host", "port", "passfile", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
    }
)  # fmt: skip
# What PostgreSQL takes as a session's setting.
SESSION_PARAMETERS = frozenset(
    {"application_name", "search_path", "timezone", "lock_timeout", "idle_in_transaction_session_timeout"}
)
# How to connect is this service's own business, or nothing that asyncpg has.
IGNORED_PARAMETERS = frozenset({"channel_binding", "gssencmode", "connect_timeout", "keepalives", "keepalives_idle"})
FILES = frozenset({"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"})
MAX_NAME = 40
SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


class DatabaseUrlError(ValueError):
    """The message says what is wrong with the URL without repeating any of it."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL for SQLAlchemy's asyncio engine, and a DSN with what else asyncpg is told, or "".

    Its repr keeps the password to itself.
    """

    url: str
    is_postgres: bool
    dsn: str = ""

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
        query = _query(parts.query)
        dsn = f"postgresql:///?{query}" if query else ""
        return cls(f"postgresql+asyncpg://{parts.netloc}{parts.path}", is_postgres=True, dsn=dsn)


def _query(text: str) -> str:
    """The parameters that asyncpg is told of. Raises DatabaseUrlError for one that nobody would heed."""
    # asyncpg's own name for it, which SQLAlchemy's users write.
    parameters = {"sslmode" if name == "ssl" else name: value for name, value in parse_qsl(text)}
    unknown = sorted(set(parameters) - CONNECTION_PARAMETERS - SESSION_PARAMETERS - IGNORED_PARAMETERS)
    if unknown:
        # A name may be part of a password that isn't percent-encoded: it is said only where it looks like one.
        names = ", ".join(name for name in unknown if name.isidentifier() and len(name) < MAX_NAME)
        raise DatabaseUrlError(f"unknown parameters after the ?{': ' if names else ''}{names}")
    for name in sorted(FILES & set(parameters)):
        if not Path(parameters[name]).is_file():
            raise DatabaseUrlError(f"{name} names no file that is there")
    if parameters.get("sslmode", "prefer") not in SSL_MODES:
        raise DatabaseUrlError(f"sslmode has to be one of {', '.join(sorted(SSL_MODES))}")
    return urlencode({name: value for name, value in parameters.items() if name not in IGNORED_PARAMETERS})
