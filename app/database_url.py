"""Which database to use, from a URL as people and platforms write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

POSTGRES_SCHEMES = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})

# What asyncpg reads from a DSN as libpq does. As arguments of its own it would take other names, and no file of a CA.
CONNECTION_PARAMETERS = frozenset(
    {
        "host", "port", "user", "password", "dbname", "passfile", "sslmode",
        "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
    }
)  # fmt: skip
# What PostgreSQL takes as a session's setting.
SESSION_PARAMETERS = frozenset(
    {
        "application_name", "search_path", "timezone", "options", "lock_timeout", "statement_timeout",
        "idle_in_transaction_session_timeout",
    }
)  # fmt: skip
# What SQLAlchemy takes out of its URL: needed behind a pooler of connections.
POOLER_PARAMETERS = frozenset({"prepared_statement_cache_size"})
# How to connect is this service's own business, or nothing that asyncpg has.
IGNORED_PARAMETERS = frozenset({"channel_binding", "gssencmode", "connect_timeout", "keepalives", "keepalives_idle"})
# A host after the ? with a port of its own, which libpq doesn't have, but asyncpg.
HOST_WITH_PORT = re.compile(r":\d+(,|$)")
FILES = frozenset({"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"})
MAX_NAME = 40
PARAMETERS = CONNECTION_PARAMETERS | SESSION_PARAMETERS | POOLER_PARAMETERS | IGNORED_PARAMETERS
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
        scheme, separator, rest = text.partition("://")
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        credentials, at, hosts = authority.rpartition("@")
        try:
            # Of hosts urlsplit knows one, and may refuse the brackets of a second, or of a password.
            parts = urlsplit(f"{scheme}{separator}{rest.removeprefix(authority)}")
            ports = [urlsplit(f"//{host}").port for host in hosts.split(",")]
        except ValueError:
            raise DatabaseUrlError("not a URL; expected postgresql://user:password@host/name") from None
        if parts.scheme in {"sqlite", "sqlite+aiosqlite"}:
            file = parts.path.removeprefix("/") or "links.db"
            if file == ":memory:":
                raise DatabaseUrlError("SQLite needs a file here, for all processes: sqlite:////data/links.db")
            return cls.for_file(Path(file))
        if parts.scheme not in POSTGRES_SCHEMES:
            raise DatabaseUrlError("expected a URL that starts with postgresql://, postgres:// or sqlite:///")
        if not parts.path.strip("/"):
            raise DatabaseUrlError("the database's name is missing at the end of the URL")
        if 0 in ports:
            raise DatabaseUrlError("port 0 can't be connected to")
        parameters = _parameters(parts.query)
        if len(ports) > 1:
            parameters.setdefault("host", hosts)
        elif ports[0] and "host" in parameters and not HOST_WITH_PORT.search(parameters["host"]):
            parameters.setdefault("port", str(ports[0]))
        # As with libpq, hosts after the ? come before the one in front. SQLAlchemy would have it the other way round.
        # And a password would end at its first @.
        user = credentials.replace("@", "%40")
        netloc = f"{user}{at}{'' if 'host' in parameters else hosts}"
        pooler = urlencode({name: parameters.pop(name) for name in POOLER_PARAMETERS & set(parameters)})
        url = f"postgresql+asyncpg://{netloc}{parts.path}{'?' if pooler else ''}{pooler}"
        return cls(url, is_postgres=True, dsn=f"postgresql:///?{urlencode(parameters)}" if parameters else "")


def _parameters(text: str) -> dict[str, str]:
    """What the database is told besides. Raises DatabaseUrlError for a parameter that nobody would heed."""
    parameters: dict[str, str] = {}
    for written, value in parse_qsl(text):
        # asyncpg's own name for it, which SQLAlchemy's users write.
        name = "sslmode" if written == "ssl" else written
        # Several hosts: libpq separates them by commas, SQLAlchemy repeats the name.
        several = name in ("host", "port") and name in parameters
        parameters[name] = f"{parameters[name]},{value}" if several else value
    unknown = sorted(
        set(parameters) - CONNECTION_PARAMETERS - SESSION_PARAMETERS - POOLER_PARAMETERS - IGNORED_PARAMETERS
    )
    if unknown:
        # A name may be part of a password that isn't percent-encoded: it is said only where it looks like one.
        names = ", ".join(name for name in unknown if name.isidentifier() and len(name) < MAX_NAME)
        raise DatabaseUrlError(f"unknown parameters after the ?{': ' if names else ''}{names}")
    for name in sorted(FILES & set(parameters)):
        if not _is_file(parameters[name]):
            raise DatabaseUrlError(f"{name} names no file that can be read")
    if parameters.get("sslmode", "prefer") not in SSL_MODES:
        raise DatabaseUrlError(f"sslmode has to be one of {', '.join(sorted(SSL_MODES))}")
    return {name: value for name, value in parameters.items() if name not in IGNORED_PARAMETERS}


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:
        return False
