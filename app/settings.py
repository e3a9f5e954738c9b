"""What the service can be told from outside: environment variables, checked once at start.

A wrong value ends the process with one JSON line that names the variable, never with a traceback.
"""

from __future__ import annotations

import sys
import tempfile
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from app.database_url import DatabaseUrl, DatabaseUrlError

# Where Docker Swarm puts secrets, a file for each, named like the variable that it stands for.
SECRETS = Path("/run/secrets")
EX_CONFIG = 78  # sysexits.h: the process never started because of how it is configured
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

# Uvicorn stops waiting this long before Gunicorn does, so that the lifespan's shutdown always runs.
LIFESPAN_MARGIN = 2.0


class Settings(BaseSettings):
    """Every setting, with its default for local development. Durations are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    service: str = Field("links", alias="APP_SERVICE", pattern=r"^[A-Za-z0-9._-]{1,63}$")
    env: str = Field("local", alias="APP_ENV", pattern=r"^[A-Za-z0-9._-]{1,63}$")
    release: str = Field("dev", alias="APP_RELEASE", pattern=r"^[A-Za-z0-9._+:@-]{1,128}$")

    revision: str = Field("unknown", alias="APP_REVISION", pattern=r"^[A-Za-z0-9._+:@-]{1,128}$")

    port: int = Field(8000, alias="PORT", ge=1, le=65535)
    web_concurrency: int | None = Field(None, alias="WEB_CONCURRENCY", ge=1, le=64)
    forwarded_allow_ips: str = Field("127.0.0.1,::1", alias="FORWARDED_ALLOW_IPS")
    log_level: LogLevel = Field("INFO", alias="LOG_LEVEL")

    database_url: SecretStr | None = Field(None, alias="DATABASE_URL")
    data_dir: Path = Field(Path(tempfile.gettempdir()), alias="DATA_DIR")
    database_pool_size: int = Field(5, alias="DATABASE_POOL_SIZE", ge=1, le=100)
    database_timeout: float = Field(5.0, alias="DATABASE_TIMEOUT", gt=0, le=60)

    readiness_timeout: float = Field(2.0, alias="READINESS_TIMEOUT", gt=0, le=30)
    grace_period: float = Field(25.0, alias="GRACE_PERIOD", gt=LIFESPAN_MARGIN, le=3600)
    drain_delay: float = Field(0.0, alias="DRAIN_DELAY", ge=0, le=3600)
    sweep_interval: float = Field(30.0, alias="SWEEP_INTERVAL", gt=0, le=86400)
    migration_wait: float = Field(60.0, alias="MIGRATION_WAIT", gt=0, le=3600)

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _networks(cls, value: str) -> str:
        addresses = [address.strip() for address in value.split(",") if address]
        try:
            for address in addresses:
                if address != "*":
                    ip_network(address)
        except ValueError:
            raise ValueError(
                "has to be *, or IP addresses and networks such as 10.0.0.0/8, separated by commas"
            ) from None
        return ",".join(addresses)

    @field_validator("database_url")
    @classmethod
    def _usable_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                DatabaseUrl.parse(value.get_secret_value())
            except DatabaseUrlError as unusable:
                raise ValueError(str(unusable)) from None
        return value

    @model_validator(mode="after")
    def _drains_within_grace(self) -> Settings:
        if self.request_grace <= 0:
            raise ValueError(
                f"DRAIN_DELAY ({self.drain_delay:g} s) leaves no time for requests: "
                f"it must be at least {LIFESPAN_MARGIN:g} s shorter than GRACE_PERIOD"
            )
        return self

    @property
    def request_grace(self) -> float:
        """How long a request in flight may still take once the listener is closed."""
        return self.grace_period - self.drain_delay - LIFESPAN_MARGIN

    @cached_property
    def database(self) -> DatabaseUrl:
        if self.database_url is None:
            return DatabaseUrl.for_file(self.data_dir / f"{self.service}.db")
        return DatabaseUrl.parse(self.database_url.get_secret_value())


class SettingsError(Exception):
    """One or more environment variables can't be used; the message names each of them."""


def load_settings() -> Settings:
    """Read the environment, and secrets' files where there are any. Raises SettingsError, never with a value in it."""
    try:
        return Settings(_secrets_dir=SECRETS if SECRETS.is_dir() else None)
    except ValidationError as invalid:
        problems = [
            f"{'.'.join(str(part) for part in error['loc']) or 'settings'}: "
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in invalid.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise SettingsError("; ".join(problems)) from None
    except UnreadableError as unreadable:
        # It names the setting, not the value.
        raise SettingsError(
            f"{unreadable}: {type(unreadable.__cause__).__name__}; "
            f"a file in {SECRETS} has to hold UTF-8, and this process has to be allowed to read it"
        ) from None


def load_settings_or_exit() -> Settings:
    """For entry points: one line that says what is wrong, then exit code 78."""
    try:
        return load_settings()
    except SettingsError as invalid:
        exit_for(invalid)


def exit_for(invalid: SettingsError) -> NoReturn:
    """Say it as every other line is said, and end with exit code 78."""
    from app.logs import configure_logging  # noqa: PLC0415 - only to say why there is no start

    configure_logging(service="links", env="unknown", release="unknown", level="INFO").critical(
        "the settings can't be used: {}", invalid
    )
    sys.exit(EX_CONFIG)
