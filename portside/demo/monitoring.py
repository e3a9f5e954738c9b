"""The monitoring stack beside the demo's service, for whoever wants to look at what has just happened."""

from __future__ import annotations

import sys

from portside.demo.ground import ENV, Ground
from portside.errors import PortsideError
from portside.observe.place import central
from portside.observing import bring_up
from portside.report import Reporter


async def watch(ground: Ground, reporter: Reporter) -> tuple[str, ...]:
    """Bring it up on the demo's host; what to open, or why there is nothing. It never fails the demo."""
    config = ground.config.seen_from(ENV)
    reporter.say("monitoring: what the host and the service said of themselves meanwhile")
    try:
        async with central(config.observe) as connection:
            raised = await bring_up(config, connection, reporter)
    except PortsideError as error:
        return (f"left out: {error.what}{f' ({error.where})' if error.where else ''}",)
    return tuple(raised.lines(terminal=sys.stdout.isatty()))
