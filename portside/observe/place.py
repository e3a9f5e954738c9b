"""Where the central stack runs, as an environment of one host, so that everything that reaches hosts reaches it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from portside.config import STACK, Environment, Observe
from portside.fleet import connected
from portside.host.base import Host

# What lib.sh knows it by on its host, and its Compose project.
SITE = STACK
PROJECT = "portside-observability"


def place(observe: Observe) -> Environment:
    """The stack's host. Its images are pulled there first, and sent from here only when that fails."""
    return Environment(
        name=SITE,
        hosts=(observe.host,) if observe.host else (),
        ssh_config=observe.ssh_config,
        known_hosts=observe.known_hosts,
        registry="docker.io",
    )


@contextlib.asynccontextmanager
async def central(observe: Observe) -> AsyncIterator[Host]:
    """A connection to the machine that the stack runs on. Raises HostError."""
    async with connected(place(observe)) as hosts:
        yield hosts[0]


def beside(observe: Observe, host: Host) -> bool:
    """Whether the stack runs on `host` itself: its agent then writes over the network inside, without TLS."""
    return host.name == (observe.host or "localhost")
