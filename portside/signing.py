"""Is this image ours? Signed after it was pushed, looked at before it is released where an environment says so."""

from __future__ import annotations

import os
from collections.abc import Callable

from portside.command import tail
from portside.config import FILE, Config, Environment
from portside.errors import CommandError, ConfigError, SignatureError
from portside.image.cosign import UNFIT, UNSIGNED, PrivateKey, Signers, sign, verify
from portside.image.registry import variables_for
from portside.release import Image
from portside.secrets import resolve_one
from portside.secrets.scrub import scrub

WHERE = f"{FILE}: signing"


async def sign_pushed(config: Config, environment: Environment, reference: str, say: Callable[[str], None]) -> bool:
    """Sign what has just been pushed as `reference`, where [signing] says how; whether it was.

    Raises SignatureError, ConfigError for a key that isn't there, CommandError without cosign.
    """
    signing = config.signing
    if signing is None or (signing.public_key is not None and signing.private_key is None):
        return False
    key = None
    if signing.private_key is not None and signing.password is not None:
        key = PrivateKey(
            await resolve_one(signing.private_key, config.root, environment.name, f"{WHERE}.private_key"),
            await resolve_one(signing.password, config.root, environment.name, f"{WHERE}.password"),
        )
    result = await sign(reference, key, transparency_log=signing.transparency_log)
    if result.exit_code != 0:
        raise SignatureError(
            "the image is pushed, and could not be signed",
            where=reference,
            why=scrub(tail(result.stderr)),
            remedy="Mend that and type `invoke push` again: what the registry has isn't sent twice. docs/signing.md",
        )
    say(f"signed {reference}")
    return True


async def require_signature(config: Config, environment: Environment, image: Image) -> None:
    """Raise SignatureError unless the image carries a signature of those that [signing] names."""
    signing = config.signing
    if signing is None:
        raise ConfigError("it isn't there, and an environment has require_signature", where=WHERE)
    public_key = config.root / signing.public_key if signing.public_key else None
    if public_key is not None and not public_key.is_file():
        raise ConfigError(f"there is no file {signing.public_key}", where=f"{WHERE}.public_key")
    signers = Signers(public_key, signing.identity or "", signing.issuer or "", signing.transparency_log)
    lent = variables_for(image.reference, environment.registry, os.environ)
    result = await verify(image.reference, signers, lent)
    if result.exit_code == 0:
        return
    said = scrub(tail(result.stderr))
    if result.exit_code not in (UNSIGNED, UNFIT):
        raise CommandError("whether the image is signed can't be told", where=image.reference, why=said)
    who = f"the key {signing.public_key}" if signing.public_key else f"{signing.identity} ({signing.issuer})"
    raise SignatureError(
        "nobody has signed this image" if result.exit_code == UNSIGNED else f"this image isn't signed by {who}",
        where=image.reference,
        why=said,
        remedy="Nothing was changed. Push it from where the key is: invoke push signs. docs/signing.md",
    )
