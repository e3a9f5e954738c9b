"""Ask a component of the central stack over HTTP, on its own machine: it listens there, and maybe nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from portside.config import Observe
from portside.errors import HostError
from portside.host.base import Host
from portside.host.script import script_argv
from portside.observe.place import SITE, beside, central

REQUEST_SECONDS = 5


@contextlib.asynccontextmanager
async def stack(observe: Observe, hosts: Sequence[Host]) -> AsyncIterator[Host]:
    """The stack's machine: one of `hosts`, connected already, or a connection of its own. Raises HostError."""
    mine = next((host for host in hosts if beside(observe, host)), None)
    if mine is not None:
        yield mine
        return
    async with central(observe) as host:
        yield host


async def ask(host: Host, listen: str, method: str, path: str, body: str = "") -> str:
    """The body of a 2xx answer of what listens at `listen` on `host`. Raises HostError for any other, or none."""
    argv = script_argv("ask", SITE, *loopback(listen), method, path, str(REQUEST_SECONDS))
    answer = await host.run(argv, stdin=body.encode(), timeout=REQUEST_SECONDS + 5)
    if answer.exit_code != 0:
        raise HostError(answer.stderr.decode(errors="replace").strip(), where=host.name)
    return answer.text


def loopback(listen: str) -> tuple[str, str]:
    """Where a listener is asked on its own machine: host and port."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - replaced, not listened at
