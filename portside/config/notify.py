"""[notify.NAME]: who is told of releases, failures and rollbacks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from portside.config.base import Address, Mail, Model, Name, source_reference, told_by

NewsKind = Literal["released", "failed", "undone", "rolled-back", "unfinished"]

# What each kind of notifier takes besides what all take.
NOTIFIER_KEYS: dict[str, tuple[str, ...]] = {
    "slack": (),
    "webhook": ("signing_secret",),
    "email": ("to", "from", "smarthost", "username"),
}


class Notifier(Model):
    """Who is told of releases. `secret` is a reference as in an environment's secrets: a URL or a password."""

    kind: Literal["slack", "webhook", "email"]
    secret: str | None = None
    signing_secret: str | None = None
    events: Annotated[tuple[NewsKind, ...], Field(min_length=1)] = (
        "released",
        "failed",
        "undone",
        "rolled-back",
        "unfinished",
    )
    envs: tuple[Name, ...] = ()
    to: Mail | None = None
    from_: Mail | None = Field(None, alias="from")
    smarthost: Address | None = None
    username: str | None = None

    @field_validator("secret", "signing_secret")
    @classmethod
    def _reference(cls, secret: str | None) -> str | None:
        return None if secret is None else source_reference("secret", secret)

    @model_validator(mode="after")
    def _complete(self) -> Notifier:
        told_by(self.kind, {"from" if name == "from_" else name for name in self.model_fields_set}, NOTIFIER_KEYS)
        return self

    def wants(self, kind: str, env: str) -> bool:
        """Whether it is told of this kind of event of this environment; of a test always."""
        return kind in (*self.events, "test") and (not self.envs or env in self.envs)
