"""The monitoring stack beside the demo's service, for whoever wants to look at what has just happened."""

from __future__ import annotations

import sys

from portside.config import Observe
from portside.demo.ground import Ground
from portside.errors import PortsideError
from portside.lab.values import Lab
from portside.observe.place import central
from portside.observing import bring_up
from portside.report import Reporter

PORTS = {"grafana": 3000, "prometheus": 9090, "alertmanager": 9093}


async def watch(ground: Ground, lab: Lab, reporter: Reporter) -> tuple[str, ...]:
    """Bring it up on the demo's host; what to open, or why there is nothing. It never fails the demo."""
    host = lab.hosts[0]
    # The host's own address: this machine alone has a way to it.
    listen = {name: f"{host.address}:{port}" for name, port in PORTS.items()}
    observe = Observe.model_validate({"host": host.name, "ssh_config": lab.ssh_config, **listen})
    config = ground.config.model_copy(update={"observe": observe})
    reporter.say("monitoring: what the host and the service said of themselves meanwhile")
    try:
        async with central(observe) as connection:
            raised = await bring_up(config, connection, reporter)
    except PortsideError as error:
        return (f"left out: {error.what}{f' ({error.where})' if error.where else ''}",)
    return tuple(raised.lines(terminal=sys.stdout.isatty()))
