"""Where the demo takes place: one lab host, an environment of its own, and images on their way there."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.command import run_command
from portside.compose import images, read_compose
from portside.config import Config, Environment, load_config, project_root
from portside.delivery import Delivery
from portside.errors import ConfigError, PortsideError
from portside.fleet import connected, everywhere
from portside.image.bases import default_ca_bundle, ensure_image
from portside.lab.hosts import running_labs, start_hosts, stop_hosts, wait_until_up
from portside.lab.image import BASE, lab_image
from portside.lab.values import Lab, load_lab, write_environment
from portside.observe.versions import versions
from portside.playground import environment_file, environment_settings, forget, state_dir
from portside.report import Reporter
from portside.secrets import plain_variables

ENV = "demo"
NAME = "portside-demo"
BAKE_SECONDS = 5
MONITORING = {"grafana": 3000, "prometheus": 9090, "alertmanager": 9093}
REVIVE_SECONDS = 15
QUESTION_SECONDS = 30.0
MADE = Path(".portside/demo.json")


@dataclass(frozen=True)
class Ground:
    """The demo of one checkout. `name` is its lab's; the environment is called ENV."""

    root: Path
    name: str = NAME

    @property
    def config(self) -> Config:
        """As it is now: the demo's environment is part of it once its host is there."""
        return load_config(self.root)

    @property
    def environment(self) -> Environment:
        return self.config.environment(ENV)


async def ensure_host(ground: Ground, reporter: Reporter) -> Lab:
    """The host of the last demo when it is well, else a new one; and the environment that names it."""
    settings = environment_settings(ground.config)
    lab = await _revived(ground)
    if lab is None:
        await stop_hosts(ground.name)
        forget(ground.root, ground.name, ENV)
        lab = await start_hosts(1, name=ground.name, state_dir=state_dir(ground.root, ground.name), say=reporter.say)
    else:
        reporter.say(f"{lab.hosts[0].name} is there from the last demo")
    host = lab.hosts[0]
    # The host's own address: this machine alone has a way to it.
    opened = {name: f"{host.address}:{port}" for name, port in MONITORING.items()}
    reached = {"ssh_config": str(lab.ssh_config), "known_hosts": str(lab.known_hosts)}
    settings |= {"bake": BAKE_SECONDS, "observe": {"host": host.name, **reached, **opened}}
    write_environment(lab, environment_file(ground.root, ENV), ENV, settings)
    return lab


async def _revived(ground: Ground) -> Lab | None:
    """The lab of the last demo, started where it was stopped; None unless it is what its files say."""
    try:
        lab = load_lab(state_dir(ground.root, ground.name))
        host = lab.hosts[0]
        question = ["docker", "container", "inspect", "--format", "{{.Config.Image}}", host.name]
        made_from = await run_command(question, timeout=QUESTION_SECONDS)
        if made_from.exit_code != 0 or made_from.text != lab_image():
            return None
        (await run_command(["docker", "start", host.name], timeout=QUESTION_SECONDS)).check()
        well = await wait_until_up(host.name, seconds=REVIVE_SECONDS) == host.public_key
    except PortsideError:
        return None
    return lab if well else None


async def ensure_surroundings(ground: Ground, reporter: Reporter, host_up: Awaitable[object]) -> None:
    """Bring the proxy's and the accessories' images to the host, as soon as each is there and the host is up.

    A release does that by itself; here it overlaps with building the service.
    """
    config = ground.config
    named_in = dict.fromkeys(accessory_images(config), str(config.service.accessories))
    named_in |= {config.images.proxy: "portside.toml"}
    ca_bundle = default_ca_bundle(config.build.ca_bundle, os.environ)

    host = asyncio.ensure_future(host_up)
    made = asyncio.Lock()

    async def one(image: str) -> None:
        async with made:  # side by side they would take as long, and the first would be there later
            await ensure_image(image, say=reporter.say, ca_bundle=ca_bundle, named_in=named_in[image])
        await asyncio.shield(host)
        environment = ground.environment
        async with connected(environment) as hosts:
            await Delivery(ground.config, environment, reporter, hosts).provide_named(hosts[0], image)

    await everywhere(tuple(named_in), one)


def accessory_images(config: Config) -> tuple[str, ...]:
    """With values of the demo's environment as it will be: it isn't there before its host."""
    path = config.service.accessories
    if path is None:
        return ()
    environment = load_config(config.root, {ENV: environment_settings(config)}).environment(ENV)
    return images(read_compose(config.root / path), plain_variables(environment), str(path))


def base_images(config: Config) -> tuple[str, ...]:
    """Every image that a demo may have to fetch or make, but the service's own."""
    named = config.images
    monitoring = versions(config.root).values()
    return (named.builder, named.runtime, named.proxy, *accessory_images(config), *monitoring, BASE, lab_image())


async def local_images() -> frozenset[str]:
    """All names of images that the local Engine has."""
    listed = await run_command(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], timeout=QUESTION_SECONDS
    )
    return frozenset(listed.check().text.split())


def made_images(ground: Ground) -> frozenset[str]:
    """The images that demos of this checkout made or fetched."""
    try:
        return frozenset(json.loads((ground.root / MADE).read_text()))
    except (FileNotFoundError, ValueError):
        return frozenset()


def remember_images(ground: Ground, images: Sequence[str]) -> None:
    """Add to what `invoke demo --down` removes."""
    path = ground.root / MADE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(sorted(made_images(ground) | set(images))) + "\n")


async def clear(ground: Ground) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the host, its files, and the images that demos made; images removed, and images still in use."""
    root = project_root(ground.root)
    if ground.name in await running_labs():
        await stop_hosts(ground.name)
    forget(root, ground.name, ENV)
    removed: list[str] = []
    kept: list[str] = []
    for image in sorted(made_images(ground) & await local_images()):
        gone = await run_command(["docker", "image", "rm", image], timeout=QUESTION_SECONDS)
        (removed if gone.exit_code == 0 else kept).append(image)
    (ground.root / MADE).unlink(missing_ok=True)
    return tuple(removed), tuple(kept)


def insist_linux(system: str) -> None:
    """The demo's host is reached at its container's address, which only Linux routes to."""
    if system != "Linux":
        raise ConfigError(
            f"on {system} a container has no address that this machine could reach",
            where="invoke demo",
            remedy="Run the demo on Linux, in a virtual machine for instance; releasing to hosts over SSH works here.",
        )
