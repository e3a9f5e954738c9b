"""The whole of portside.toml as one value."""

from __future__ import annotations

from pathlib import Path

from portside.config.base import FILE, Model, Name
from portside.config.environment import Environment
from portside.config.judge import Judge
from portside.config.notify import Notifier
from portside.config.observe import Observe
from portside.config.scan import Scan
from portside.config.service import Build, Images, Service
from portside.config.signing import Signing
from portside.errors import ConfigError


class Config(Model):
    """The whole of portside.toml, each environment already merged over [defaults]."""

    root: Path
    service: Service
    images: Images = Images()
    build: Build = Build()
    observe: Observe = Observe()
    judge: Judge = Judge()
    notify: dict[Name, Notifier] = {}
    scan: Scan = Scan()
    signing: Signing | None = None
    env: dict[Name, Environment]

    def environment(self, name: str) -> Environment:
        """The environment called `name`; ConfigError with the names there are otherwise."""
        if name not in self.env:
            raise ConfigError(
                f"there is no environment {name!r}",
                where=f"{FILE}: --env",
                remedy=f"Use one of: {', '.join(sorted(self.env))}"
                + (
                    "; `invoke lab-up` makes the hosts of `--env lab` first."
                    if name == "lab"
                    else f", or add [env.{name}]."
                ),
            )
        return self.env[name]

    def seen_from(self, name: str) -> Config:
        """This, as the environment called `name` sees it: with its own monitoring stack, where it has one."""
        observe = self.environment(name).observe
        return self if observe is None else self.model_copy(update={"observe": observe})

    def site(self, environment: Environment) -> str:
        """The name under which a service's environment lives on a host."""
        return f"{self.service.name}-{environment.name}"
