"""Make a release from what is in the project: Compose file, image, environment. The last step before hosts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portside import compose_yaml
from portside.compose import images, read_compose, render, roles, standing_services
from portside.compose_configs import read_configs, shipped_name
from portside.config import FILE, Config, Environment
from portside.errors import ConfigError
from portside.interpolation import named_variables
from portside.proxy import upstreams
from portside.proxy_ports import PROXY_FILE, proxy_compose, published
from portside.release import (
    Image,
    Release,
    archive,
    content_hash,
    env_digest,
    env_file,
    release_files,
    release_id,
    value_digests,
)
from portside.secrets import accessory_values, plain_variables, resolve

if TYPE_CHECKING:
    from portside.swarm.values import Values as SwarmValues

IDENTITY = "<release>"
# Of a name in DNS, between two dots: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
LONGEST_LABEL = 63
# Of a service, as the end of its name: isValidDNSName in moby/swarmkit, manager/controlapi/common.go.
SWARM_NAME = re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9]")


@dataclass(frozen=True)
class Draft:
    """Everything of a release but its id and its predecessor. `values` holds secrets: it is never printed."""

    config: Config
    environment: Environment
    data: Mapping[str, Any]
    values: Mapping[str, str]
    image: Image
    commit: str
    created_by: str

    def __repr__(self) -> str:
        return f"Draft({self.environment.name}, {self.image.reference})"

    def release(self, *, previous: str | None, created: datetime) -> Release:
        """The release as of `created`, following `previous`."""
        content = content_hash(image=self.image.reference, compose=self._compose(IDENTITY), env_digest=self._env_digest)
        identity = release_id(created, content)
        service = self.config.service
        found = roles(self.data, self.config, self.environment, plain_variables(self.environment))
        self._check_names({role.name: role.replicas for role in found})
        return Release(
            id=identity,
            service=service.name,
            env=self.environment.name,
            image=self.image,
            roles=found,
            web=service.web,
            port=service.port,
            readiness=service.readiness,
            env_names=tuple(sorted(self.values)),
            env_digest=self._env_digest,
            env_digests=self._value_digests,
            content=content,
            commit=self.commit,
            created=created,
            created_by=self.created_by,
            previous=previous,
            compose=self._compose(identity),
        )

    def _check_names(self, replicas: Mapping[str, int]) -> None:
        """Raise ConfigError where the proxy couldn't look up a web container: by address, it would still be ready; or
        where a Swarm would refuse a service (of `replicas`, by its name), when migrations have run already.
        """
        site, web = self.config.site(self.environment), self.config.service.web
        compose = self.config.service.compose
        # "green" is the longer one of the slots, and the last container has the longest number.
        if self.environment.swarm:
            names = {service: f"{site}-green_{service}" for service in replicas}
        else:
            names = {web: upstreams(site, "green", web, replicas[web], self.config.service.port)[-1].partition(":")[0]}
        for service, name in names.items():
            if len(name) > LONGEST_LABEL:
                third = ", service.web" if service == web else f"; {compose}: services.{service}"
                raise ConfigError(
                    f"a container of {service} would be called {name}, which is {len(name)} characters long; "
                    f"{LONGEST_LABEL} can be looked up",
                    where=f"{FILE}: service.name, env.{self.environment.name}{third}",
                    remedy=f"Shorten one of the three names by {len(name) - LONGEST_LABEL}.",
                )
            if self.environment.swarm and not SWARM_NAME.fullmatch(service):
                raise ConfigError(
                    f"a Swarm has no service of the name {service}",
                    where=f"{compose}: services.{service}",
                    why="It is a part of a name in DNS there: letters and digits, and before them - and _.",
                    remedy="Give it another name.",
                )

    def files(self, release: Release) -> dict[str, str]:
        """The files of the release's directory; the service is told which release of which environment it is."""
        told = self._told(release.id)
        if self.swarm_values is not None:
            return self._stack_files(release, told)
        configs = {shipped_name(name, text): text for name, text in self._configs.items()}
        return {**release_files(release, {**told, **self.values}), **configs}

    def _told(self, identity: str) -> dict[str, str]:
        return {
            "APP_SERVICE": self.config.service.name,
            "APP_ENV": self.environment.name,
            "APP_RELEASE": identity,
            "APP_REVISION": self.commit,
            "PORT": str(self.config.service.port),
        }

    def _stack_files(self, release: Release, told: Mapping[str, str]) -> dict[str, str]:
        """A Swarm has the secrets: on a host's disk there is none."""
        from portside.swarm.stack import render_hook  # noqa: PLC0415
        from portside.swarm.values import plain_file  # noqa: PLC0415

        plain = self.swarm_values.plain if self.swarm_values else {}
        command = self.config.service.before_switch
        return {
            **release_files(release, {}),
            "env": plain_file({**told, **plain}),
            **({"hook.yaml": render_hook(release, command)} if command else {}),
        }

    @property
    def sidecars(self) -> tuple[str, ...]:
        """Images that the Compose file names itself, beside the service's own."""
        return images(self.data, plain_variables(self.environment), str(self.config.service.compose))

    @cached_property
    def _env_digest(self) -> str:
        return env_digest(self.values, site=self.config.site(self.environment))

    @cached_property
    def _value_digests(self) -> Mapping[str, str]:
        plain = plain_variables(self.environment)
        return value_digests(self.values, plain, site=self.config.site(self.environment))

    @cached_property
    def swarm_values(self) -> SwarmValues | None:
        """The values as a Swarm keeps them; None where it is Compose that runs the release."""
        if not self.environment.swarm:
            return None
        # Imported here and below: a release without a Swarm has its milliseconds for other things.
        from portside.swarm.values import divided  # noqa: PLC0415

        plain = plain_variables(self.environment)
        site = self.config.site(self.environment)
        return divided(self.values, plain, self._value_digests, configs=self._configs, site=site)

    @cached_property
    def _configs(self) -> Mapping[str, str]:
        path = self.config.root / self.config.service.compose
        return read_configs(self.data, path, plain_variables(self.environment))

    def _compose(self, identity: str) -> str:
        handed = {*self._told(identity), *self.values}
        if self.swarm_values is not None:
            from portside.swarm.stack import render_stack  # noqa: PLC0415

            return render_stack(
                self.data,
                self.config,
                self.environment,
                image=self.image.reference,
                release=identity,
                variables=plain_variables(self.environment),
                handed=handed,
                lines=self.swarm_values.lines,
                secrets=self.swarm_values.objects,
                configs=self.swarm_values.config_objects,
            )
        return render(
            self.data,
            self.config,
            self.environment,
            image=self.image.reference,
            release=identity,
            variables=plain_variables(self.environment),
            handed=handed,
            configs={name: shipped_name(name, text) for name, text in self._configs.items()},
        )


async def draft(config: Config, environment: Environment, *, image: Image, commit: str, created_by: str) -> Draft:
    """Read what a release is made of. Raises ConfigError for anything wrong, before a host is asked."""
    data = read_compose(config.root / config.service.compose)
    values = await resolve(environment, config.root)
    made = Draft(config, environment, data, values, image, commit, created_by)
    made.release(previous=None, created=datetime.now(UTC))
    return made


@dataclass(frozen=True)
class Accessories:
    """What keeps state: the files for a host's accessories folder, a fingerprint of them, the images they need, and the
    services that run."""

    files: Mapping[str, str]
    fingerprint: str
    images: tuple[str, ...]
    services: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Accessories({self.fingerprint})"


async def read_accessories(config: Config, environment: Environment) -> Accessories | None:
    """The accessories of an environment; None where it has none."""
    if config.service.accessories is None or environment.accessory_hosts == ():
        return None
    path = config.root / config.service.accessories
    data = read_compose(path)
    for name, service in data["services"].items():
        if "build" in service or not service.get("image"):
            raise ConfigError("an accessory needs an image to be had elsewhere", where=f"{path}: services.{name}.image")
    values = await accessory_values(environment, config.root, named_variables(data, str(path)))
    site = config.site(environment)
    data["networks"] = {"default": {"name": site, "external": True}}
    # Without the secrets: what containers read as files, others on the host can.
    plain = plain_variables(environment)
    configs = read_configs(data, path, plain)
    if configs:
        data["configs"] = {name: {"file": f"./{shipped_name(name, text)}"} for name, text in configs.items()}
    files = {
        "compose.yaml": compose_yaml.dump(data),
        "env": env_file(values),
        **{shipped_name(name, text): text for name, text in configs.items()},
    }
    fingerprint = hashlib.sha256(f"{files['compose.yaml']}{env_digest(values, site=site)}".encode()).hexdigest()[:16]
    return Accessories(files, fingerprint, images(data, plain, str(path)), standing_services(data, values, str(path)))


@dataclass(frozen=True)
class ProxyFiles:
    """The proxy's Compose file for an environment's hosts, and its fingerprint."""

    compose: str
    fingerprint: str

    def archive(self, configuration: str) -> bytes:
        return archive({"compose.yaml": self.compose, "config/caddy.json": configuration})


def read_proxy(config: Config, environment: Environment, present: str = "") -> ProxyFiles:
    """`present`: the Compose file that publishes what other sites on the host need; "" where there are none."""
    ports = published(environment, present)
    compose = proxy_compose(config.root / PROXY_FILE, config.images.proxy, ports)
    return ProxyFiles(compose, hashlib.sha256(compose.encode()).hexdigest()[:16])
