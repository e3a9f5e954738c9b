"""[observe]: the central monitoring stack, what it promises, who is told of alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from portside.config.base import (
    Address,
    Listen,
    Mail,
    Model,
    Name,
    Percent,
    Retention,
    Seconds,
    destination,
    home,
    source_reference,
    told_by,
)

# The environment that the stack's own machine belongs to where nothing is released to it.
STACK = "observability"


class Slo(Model):
    """What the service promises over 30 days, in per cent. `latency_threshold` is in seconds."""

    availability: Percent = 99.9
    latency: Percent = 99.0
    latency_threshold: Annotated[float, Field(gt=0)] = 0.5


# What each kind of receiver takes besides what all take.
RECEIVER_KEYS: dict[str, tuple[str, ...]] = {
    "slack": ("channel",),
    "pagerduty": ("url",),
    "email": ("to", "from", "smarthost", "username"),
    "webhook": (),
}


class Receiver(Model):
    """Who is told of alerts. `secret` is a reference as in an environment's secrets: a URL, a key or a password.

    A webhook with `severities = ["none"]` is a heartbeat: it gets the Watchdog, and nothing else.
    """

    kind: Literal["slack", "pagerduty", "email", "webhook"]
    secret: str | None = None
    severities: Annotated[tuple[Literal["critical", "warning", "none"], ...], Field(min_length=1)] = (
        "critical",
        "warning",
    )
    envs: tuple[Name, ...] = ()
    channel: Annotated[str, StringConstraints(pattern=r"^[#@]?[\w.-]+$")] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s{}]+$")] | None = None
    to: Mail | None = None
    from_: Mail | None = Field(None, alias="from")
    smarthost: Address | None = None
    username: str | None = None

    @field_validator("secret")
    @classmethod
    def _reference(cls, secret: str | None) -> str | None:
        return None if secret is None else source_reference("secret", secret)

    @model_validator(mode="after")
    def _complete(self) -> Receiver:
        given = {"from" if name == "from_" else name for name in self.model_fields_set}
        told_by(self.kind, given, RECEIVER_KEYS)
        if "none" in self.severities and (self.kind != "webhook" or len(self.severities) > 1):
            raise ValueError('severities = ["none"] is for a heartbeat: a webhook that gets nothing else')
        return self


class Observe(Model):
    """The central monitoring stack: where it runs, what it opens, how long it remembers."""

    host: str | None = None
    ssh_config: Path | None = None
    known_hosts: Path | None = None
    grafana: Listen = "127.0.0.1:3000"
    prometheus: Listen = "127.0.0.1:9090"
    alertmanager: Listen = "127.0.0.1:9093"
    ingest: Listen | None = None
    ingest_address: Address | None = None
    retention: Retention = "35d"
    log_retention: Retention = "7d"
    runbooks: str = "docs/runbooks"
    start_deadline: Seconds = 120
    slo: Slo = Slo()
    receivers: dict[Name, Receiver] = {}

    @field_validator("host")
    @classmethod
    def _reachable(cls, host: str | None) -> str | None:
        return destination(host) if host is not None else None

    @field_validator("ssh_config", "known_hosts")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return home(path)

    @model_validator(mode="after")
    def _addressed(self) -> Observe:
        if (self.ingest is None) != (self.ingest_address is None):
            raise ValueError("ingest and ingest_address go together: where it listens, and what other hosts call it")
        return self
