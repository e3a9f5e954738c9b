"""Where secret values come from: one small protocol, a file per source, a line here per source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from portside.config import FILE, Environment
from portside.errors import ConfigError
from portside.secrets.base import MissingSecretError, Source
from portside.secrets.dotenv import DotenvFile
from portside.secrets.generated import Generated
from portside.secrets.process import ProcessEnvironment

SOURCES: dict[str, type[Source]] = {
    "env": ProcessEnvironment,
    "file": DotenvFile,
    "generated": Generated,
}

# `${NAME}` is a secret; `$${NAME}` is that very text.
_NAMED = re.compile(r"(?<!\$)\$\{(\w+)\}")


async def resolve(environment: Environment, root: Path) -> Mapping[str, str]:
    """The whole environment of a release: plain values, and those that secrets take part in.

    Raises ConfigError that names every missing or empty secret at once, never a value.
    """
    secrets, missing = {}, []
    for name, text in environment.secrets.items():
        kind, _, reference = text.partition(":")
        if kind not in SOURCES:
            raise ConfigError(
                f"there is no secret source {kind!r}",
                where=f"{FILE}: env.{environment.name}.secrets.{name}",
                remedy=f"Use one of: {', '.join(sorted(SOURCES))}.",
            )
        try:
            secrets[name] = await SOURCES[kind](root, environment.name).fetch(reference)
        except MissingSecretError as error:
            missing.append(f"{name}: {error}")
    if missing:
        raise ConfigError(
            f"{len(missing)} secret{'s are' if len(missing) > 1 else ' is'} missing or empty",
            where=f"{FILE}: env.{environment.name}.secrets",
            why="\n".join(missing),
            remedy="Set them there, or name another source: docs/configuration.md, Secrets.",
        )
    values = {}
    for name, text in environment.env.items():
        unknown = [named for named in _NAMED.findall(text) if named not in secrets]
        if unknown:
            raise ConfigError(
                f"${{{unknown[0]}}} isn't among the environment's secrets",
                where=f"{FILE}: env.{environment.name}.env.{name}",
                remedy=f"Add it to [env.{environment.name}.secrets].",
            )
        values[name] = _NAMED.sub(lambda match: secrets[match[1]], text).replace("$${", "${")
    # A secret that only takes part in other values isn't handed to the service a second time.
    composed = {named for text in environment.env.values() for named in _NAMED.findall(text)}
    return {**{name: value for name, value in secrets.items() if name not in composed}, **values}


async def resolve_one(reference: str, root: Path, env: str, where: str) -> str:
    """The value behind one reference that is no environment's: a receiver's, a notifier's, a signing key's.

    `where` is the key of portside.toml that holds the reference. Raises ConfigError, never with a value.
    """
    kind, _, key = reference.partition(":")
    if kind not in SOURCES:
        raise ConfigError(
            f"there is no secret source {kind!r}", where=where, remedy=f"Use one of: {', '.join(sorted(SOURCES))}."
        )
    try:
        return await SOURCES[kind](root, env).fetch(key)
    except MissingSecretError as error:
        raise ConfigError(
            f"its value is missing: {error}",
            where=where,
            remedy="Set it there, or name another source: docs/configuration.md, Secrets.",
        ) from None


async def accessory_values(environment: Environment, root: Path, names: set[str]) -> Mapping[str, str]:
    """The values that the accessories' Compose file asks for by `names`: secrets and plain values."""
    everything = dict(await resolve(environment.model_copy(update={"env": {}}), root))
    everything |= {name: text for name, text in environment.env.items() if not _NAMED.search(text)}
    missing = sorted(names - set(everything))
    if missing:
        raise ConfigError(
            f"the accessories need {', '.join(missing)}",
            where=f"{FILE}: env.{environment.name}",
            remedy="Add them to `secrets` or `env` of the environment.",
        )
    return {name: everything[name] for name in sorted(names)}


def plain_variables(environment: Environment) -> Mapping[str, str]:
    """The values that hold no secret, which a Compose file may use as `${NAME}`."""
    return {name: text.replace("$${", "${") for name, text in environment.env.items() if not _NAMED.search(text)}
