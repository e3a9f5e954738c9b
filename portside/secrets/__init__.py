"""Where secret values come from: one small protocol (base.py), a file per source, a line per source in sources.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from portside.config import FILE, Environment
from portside.errors import ConfigError, PortsideError, SecretSourceError
from portside.secrets.base import SecretError, UnreachableSourceError
from portside.secrets.fetching import fetch
from portside.secrets.scrub import learn
from portside.secrets.sources import SOURCES

__all__ = ["SOURCES", "accessory_values", "fetch", "plain_variables", "refusal", "resolve", "resolve_one"]

# `${NAME}` is a secret; `$${NAME}` is that very text.
_NAMED = re.compile(r"(?<!\$)\$\{(\w+)\}")
_MEANT = re.compile(rf"{_NAMED.pattern}|\$\$\{{")


async def resolve(environment: Environment, root: Path) -> Mapping[str, str]:
    """The whole environment of a release: plain values, and those that secrets take part in.

    Raises ConfigError that names every missing or empty secret at once, SecretSourceError where a source could not
    be asked as well; never with a value.
    """
    answers = await fetch(environment.secrets.values(), root, environment.name)
    problems = {
        name: answer
        for name, reference in environment.secrets.items()
        if isinstance(answer := answers[reference], SecretError)
    }
    if problems:
        raise refusal(problems, f"{FILE}: env.{environment.name}.secrets")
    secrets = {name: str(answers[reference]) for name, reference in environment.secrets.items()}
    values = {}
    for name, text in environment.env.items():
        unknown = [named for named in _NAMED.findall(text) if named not in secrets]
        if unknown:
            raise ConfigError(
                f"${{{unknown[0]}}} isn't among the environment's secrets",
                where=f"{FILE}: env.{environment.name}.env.{name}",
                remedy=f"Add it to [env.{environment.name}.secrets].",
            )
        values[name] = _written(text, secrets)
    # A secret that only takes part in other values isn't handed to the service a second time.
    composed = {named for text in environment.env.values() for named in _NAMED.findall(text)}
    learn(value for name, value in values.items() if _NAMED.search(environment.env[name]))
    return {**{name: value for name, value in secrets.items() if name not in composed}, **values}


def refusal(problems: Mapping[str, SecretError], where: str) -> PortsideError:
    """What is said of secrets that can't be had, by name: those that aren't there, those nobody could be asked for."""
    unasked = {name: why for name, why in problems.items() if isinstance(why, UnreachableSourceError)}
    missing = {name: why for name, why in problems.items() if name not in unasked}
    said, kind = [], ConfigError if not unasked else SecretSourceError
    if missing:
        said.append(f"{len(missing)} secret{'s are' if len(missing) > 1 else ' is'} missing or empty")
    if unasked:
        said.append(f"the source of {len(unasked)} secret{'s' if len(unasked) > 1 else ''} could not be asked")
    remedies = ["Set them there, or name another source: docs/secrets.md"] if missing else []
    remedies += ["Mend the way to the source and type the same again."] if unasked else []
    return kind(
        "; ".join(said),
        where=where,
        why="\n".join(f"{name}: {why}" for name, why in (*missing.items(), *unasked.items())),
        remedy=" ".join(remedies),
    )


async def resolve_one(reference: str, root: Path, env: str, where: str) -> str:
    """The value behind one reference that is no environment's: a receiver's, a notifier's, a signing key's.

    `where` is the key of portside.toml that holds the reference. Raises ConfigError or SecretSourceError, never with
    a value.
    """
    answer = (await fetch([reference], root, env))[reference]
    if isinstance(answer, UnreachableSourceError):
        raise SecretSourceError(
            f"its source could not be asked: {answer}",
            where=where,
            remedy="Mend the way to the source and type the same again: docs/secrets.md",
        )
    if isinstance(answer, SecretError):
        raise ConfigError(
            f"its value is missing: {answer}",
            where=where,
            remedy="Set it there, or name another source: docs/secrets.md",
        )
    return answer


async def accessory_values(environment: Environment, root: Path, names: Mapping[str, bool]) -> Mapping[str, str]:
    """The values that the accessories' Compose file asks for: secrets and plain values.

    `names` has each with whether it has to be there.
    """
    everything = dict(await resolve(environment.model_copy(update={"env": {}}), root))
    everything |= plain_variables(environment)
    missing = sorted(name for name, needed in names.items() if needed and name not in everything)
    if missing:
        raise ConfigError(
            f"the accessories need {', '.join(missing)}",
            where=f"{FILE}: env.{environment.name}",
            remedy="Add them to `secrets` or `env` of the environment.",
        )
    return {name: everything[name] for name in sorted(names) if name in everything}


def plain_variables(environment: Environment) -> Mapping[str, str]:
    """The values that hold no secret, which a Compose file may use as `${NAME}`."""
    return {name: _written(text, {}) for name, text in environment.env.items() if not _NAMED.search(text)}


def _written(text: str, secrets: Mapping[str, str]) -> str:
    """A value with its secrets in it. In one go: what is in a secret is nothing that anybody meant."""
    return _MEANT.sub(lambda match: secrets[match[1]] if match[1] else "${", text)
