"""An environment's values in a Swarm: secrets and configs as objects, the rest in the stack and its env_file. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from portside.compose_configs import fingerprint
from portside.swarm.stack import object_name


@dataclass(frozen=True)
class Values:
    """What a release's containers are told. `objects` has the Swarm secret that holds each of `secrets`, by name, and
    `config_objects` the Swarm config of each of `configs`."""

    plain: Mapping[str, str]
    secrets: Mapping[str, str]
    objects: Mapping[str, str]
    configs: Mapping[str, str]
    config_objects: Mapping[str, str]

    @property
    def lines(self) -> dict[str, str]:
        """Those of `plain` that the stack itself has: its env_file has a line for each value."""
        return {name: value for name, value in self.plain.items() if _is_several(value)}

    def __repr__(self) -> str:
        return f"Values({', '.join(sorted({*self.plain, *self.secrets, *self.configs}))})"


def divided(
    values: Mapping[str, str],
    plain: Collection[str],
    digests: Mapping[str, str],
    *,
    configs: Mapping[str, str],
    site: str,
) -> Values:
    """`plain` names the values without a secret in them. An empty one is no secret, and no Swarm keeps it."""
    kept = {name for name, value in values.items() if value and name not in plain}
    return Values(
        {name: value for name, value in values.items() if name not in kept},
        {name: values[name] for name in sorted(kept)},
        {name: object_name(site, name, digests[name]) for name in sorted(kept)},
        configs,
        {name: object_name(site, name, fingerprint(text)) for name, text in configs.items()},
    )


def plain_file(values: Mapping[str, str]) -> str:
    """The values as `docker stack deploy` reads an env_file: to the end of the line, quotes and dollars as they are."""
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()) if not _is_several(value))


def _is_several(value: str) -> bool:
    return "\n" in value or "\r" in value


def object_lines(values: Values) -> bytes:
    """What swarm_objects.sh reads: a line for each secret and config, its kind, its object's name, base64 of it."""
    secrets = (("secret", values.objects[name], value) for name, value in values.secrets.items())
    configs = (("config", values.config_objects[name], text) for name, text in values.configs.items())
    return b"".join(
        f"{kind} {name} ".encode() + base64.b64encode(value.encode()) + b"\n"
        for kind, name, value in (*secrets, *configs)
    )
