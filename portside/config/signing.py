"""[signing]: how images are signed after a push, and whose signature counts."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from portside.config.base import Model, source_reference


class Signing(Model):
    """By a key pair: `public_key` in the repository, `private_key` and `password` by secret references. Or keyless:
    the certificate's `identity` and its `issuer`, as Sigstore knows them.

    `transparency_log`: signatures are recorded in Sigstore's public log, and only recorded ones count.
    """

    public_key: Path | None = None
    private_key: str | None = None
    password: str | None = None
    identity: str | None = None
    issuer: str | None = None
    transparency_log: bool = True

    @field_validator("private_key", "password")
    @classmethod
    def _references(cls, reference: str | None) -> str | None:
        return None if reference is None else source_reference("private_key and password", reference)

    @model_validator(mode="after")
    def _one_way(self) -> Signing:
        if (self.identity is None) != (self.issuer is None):
            raise ValueError("identity and issuer go together")
        if (self.public_key is None) == (self.identity is None):
            raise ValueError("it needs public_key, or identity and issuer (keyless), and not both")
        if self.public_key is None and (self.private_key or self.password):
            raise ValueError("private_key and password go with public_key")
        if (self.private_key is None) != (self.password is None):
            raise ValueError("private_key and password go together: `cosign generate-key-pair` asks for one")
        if self.identity is not None and not self.transparency_log:
            raise ValueError("keyless signatures are known by the transparency log: it can't be left out")
        return self
