"""cosign, as argument lists and as a program: sign what a registry has, and ask whose signature it carries.

https://github.com/sigstore/cosign, versions 2 and 3, which differ in how the public log is left out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from portside.command import Result, run_command
from portside.errors import CommandError
from portside.image.reference import parse_reference
from portside.image.registry import logged_in

# Signing asks the registry, and unless told not to Sigstore's services, which it tries four times each.
SECONDS, HELP_SECONDS = 90.0, 10.0
KEY, PASSWORD = "COSIGN_PRIVATE_KEY", "COSIGN_PASSWORD"
# cosign's own: no signature at all, none that fits the key or the identity; version 3 says the latter in words.
UNSIGNED, UNFIT = 10, 12
_UNFIT = b"no matching "
# Version 3 alone has it, and wants it where there is no log.
_CONFIGURED = "--use-signing-config"


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """cosign's encrypted private key, as text, and its password."""

    key: str
    password: str


@dataclass(frozen=True)
class Signers:
    """Whose signature counts: a public key's, or a certificate's identity from an issuer."""

    public_key: Path | None
    identity: str = ""
    issuer: str = ""
    transparency_log: bool = True


def sign_argv(reference: str, *, keyless: bool, transparency_log: bool, configured: bool = False) -> list[str]:
    """`configured`: this cosign takes its services from a signing configuration unless told not to."""
    key = [] if keyless else ["--key", f"env://{KEY}"]
    log = [] if transparency_log else ["--tlog-upload=false"]
    if log and configured:
        log.insert(0, f"{_CONFIGURED}=false")
    return ["cosign", "sign", "--yes", *key, *log, reference]


def verify_argv(reference: str, signers: Signers) -> list[str]:
    if signers.public_key is not None:
        who = ["--key", str(signers.public_key)]
    else:
        who = ["--certificate-identity", signers.identity, "--certificate-oidc-issuer", signers.issuer]
    unlogged = str(not signers.transparency_log).lower()
    return ["cosign", "verify", *who, f"--insecure-ignore-tlog={unlogged}", "--output=json", reference]


async def sign(
    reference: str, key: PrivateKey | None, *, transparency_log: bool, environ: Mapping[str, str] = os.environ
) -> Result:
    """Sign `registry/name@sha256:…`, keyless without a `key`. Raises CommandError only where it can't be run."""
    secret = {KEY: key.key, PASSWORD: key.password} if key else {}
    _insist()
    flags = await run_command(["cosign", "sign", "--help"], timeout=HELP_SECONDS)
    argv = sign_argv(
        reference, keyless=key is None, transparency_log=transparency_log, configured=_CONFIGURED in flags.text
    )
    return await _run(reference, argv, secret, environ)


async def verify(reference: str, signers: Signers, environ: Mapping[str, str] = os.environ) -> Result:
    """Look for a signature of `signers`: exit code 0, UNSIGNED, UNFIT, or another where nobody could tell."""
    _insist()
    result = await _run(reference, verify_argv(reference, signers), {}, environ)
    return replace(result, exit_code=UNFIT) if result.exit_code == 1 and _UNFIT in result.stderr else result


async def _run(reference: str, argv: list[str], secret: Mapping[str, str], environ: Mapping[str, str]) -> Result:
    async with logged_in(parse_reference(reference), environ) as login:
        return await run_command(argv, timeout=SECONDS, env={**login, **secret})


def _insist() -> None:
    if not shutil.which("cosign"):
        raise CommandError(
            "cosign is not installed",
            where="this machine",
            remedy="On Debian 13 or newer: sudo apt-get install cosign. Else: https://docs.sigstore.dev/cosign",
        )
