"""An environment's values in a Swarm: secrets as objects of it, the rest in the stack's env_file. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from portside.swarm.stack import secret_object


@dataclass(frozen=True)
class Values:
    """What a release's containers are told. `objects` has the Swarm secret that holds each of `secrets`, by name."""

    plain: Mapping[str, str]
    secrets: Mapping[str, str]
    objects: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Values({', '.join(sorted({*self.plain, *self.secrets}))})"


def divided(values: Mapping[str, str], plain: Collection[str], digests: Mapping[str, str], *, site: str) -> Values:
    """`plain` names the values without a secret in them. One of several lines is kept like a secret: the file that a
    stack is made with has a line for each value. An empty one is no secret, and no Swarm keeps it."""
    kept = {name for name, value in values.items() if value and (name not in plain or "\n" in value)}
    return Values(
        {name: value for name, value in values.items() if name not in kept},
        {name: values[name] for name in sorted(kept)},
        {name: secret_object(site, name, digests[name]) for name in sorted(kept)},
    )


def plain_file(values: Mapping[str, str]) -> str:
    """The values as `docker stack deploy` reads an env_file: to the end of the line, quotes and dollars as they are."""
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()))


def secret_lines(values: Values) -> bytes:
    """What swarm_secrets.sh reads: a line for each secret, its object's name and its value in base64."""
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.secrets.items()}
    return "".join(f"{values.objects[name]} {value}\n" for name, value in encoded.items()).encode()
