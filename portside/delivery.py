"""How a host comes by an image: it has it, it pulls it, or it is sent what it lacks over its own connection."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from portside.config import Config, Environment
from portside.errors import CommandError, HostError, PortsideError
from portside.host.base import Host
from portside.image.bases import default_ca_bundle, ensure_image
from portside.image.build import BuiltImage, inspect_image
from portside.image.reference import parse_reference
from portside.image.transport import CACHE, image_id, present_chains, send_image
from portside.preflight import MACHINES
from portside.release import Image
from portside.report import Reporter
from portside.steps import Target


class Delivery:
    """Brings images to the hosts of one environment."""

    def __init__(self, config: Config, environment: Environment, reporter: Reporter, others: list[Host]) -> None:
        self._environment = environment
        self.reporter = reporter
        self._others = others
        self._cache: Path = config.root / CACHE
        self._ca_bundle = default_ca_bundle(config.build.ca_bundle, os.environ)

    async def provide(self, target: Target, image: Image) -> None:
        """Make sure that a host has the release's image: pulled where there is a registry, else sent."""
        digest = parse_reference(image.reference).digest
        if self._environment.local and not digest:
            return
        found = target.state.image(image.reference)
        identity = found.id if found else await image_id(target.host, image.reference)
        # Another Engine may call the same image by its manifest instead of its configuration.
        if identity and (image.id in ("", identity) or image.named_by_content):
            return
        if self._environment.registry != "none" or digest:
            await self._pull(target.host, image.reference)
            return
        try:
            built = await inspect_image(image.reference)
        except PortsideError:
            built = None
        if built is None or not (image.id in ("", built.id) or image.named_by_content):
            await self._copy(target.host, image)
            return
        await self._send(target.host, built, await present_chains(target.host))

    async def provide_named(
        self, host: Host, reference: str, *, named_in: str = "the Compose file that names it"
    ) -> None:
        """Make sure that a host has an image which `named_in` names: a proxy's, an accessory's.

        Raises BuildError when it can't be had, other PortsideErrors when the host doesn't answer.
        """
        if await image_id(host, reference):
            return
        wanted = self._environment.architecture
        foreign = wanted and platform.machine() not in (wanted, MACHINES.get(wanted))
        # What this machine has, or makes, is for its own kind; and only a registry gives an image its digest: one that
        # is sent arrives without a name.
        if foreign or parse_reference(reference).digest:
            await self._pull(host, reference)
            return
        if self._environment.registry != "none" or self._environment.local:
            deadline = self._environment.transfer_deadline
            pulled = await host.run(["docker", "pull", "--quiet", reference], timeout=deadline)
            if pulled.exit_code == 0:
                return
        await ensure_image(reference, say=self.reporter.say, ca_bundle=self._ca_bundle, named_in=named_in)
        if not self._environment.local:
            await self._send(host, await inspect_image(reference), await present_chains(host))

    async def _pull(self, host: Host, reference: str) -> None:
        deadline = self._environment.transfer_deadline
        pulled = await host.run(["docker", "pull", "--quiet", reference], timeout=deadline)
        pulled.check(
            f"{reference} could not be pulled",
            remedy=f"Try it there by hand: docker pull {reference}. A private registry needs `docker login` there."
            + (
                " One that can't be reached needs a name without @sha256:…" if parse_reference(reference).digest else ""
            ),
        )

    async def _send(self, host: Host, image: BuiltImage, present: frozenset[str]) -> None:
        await send_image(
            host,
            image,
            present_layers=present,
            say=self.reporter.say,
            cache=self._cache,
            timeout=self._environment.transfer_deadline,
        )

    async def _copy(self, host: Host, image: Image) -> None:
        """From another host of the environment: this machine doesn't have the image (any more)."""
        deadline = self._environment.transfer_deadline
        for other in self._others:
            if other is host:
                continue
            try:
                saved = (await other.run(["docker", "save", image.reference], timeout=deadline)).check()
            except (CommandError, HostError):
                # It has no such image, or doesn't answer: another one may.
                continue
            self.reporter.say(f"{host.name}: {image.reference} is copied from {other.name}")
            loaded = await host.run(["docker", "load", "--quiet"], stdin=saved.stdout, timeout=deadline)
            loaded.check(f"image {image.reference} could not be loaded")
            return
        raise HostError(
            f"image {image.reference} is neither here, nor on another host, nor in a registry",
            where=host.name,
            remedy="Check out the commit that `invoke history` has for it and type `invoke build`: that gives the same "
            "image again.",
        )
