"""The commands that watch: the central monitoring stack up, down, and how it is."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rich.table import Table

from portside.agents import install_beside
from portside.alerting.alertmanager import alertmanager_files, receiver_secrets
from portside.alerting.routes import untold
from portside.cli import Terminal, project, run
from portside.config import Config, Observe
from portside.delivery import Delivery
from portside.errors import ConfigError, HostError, PortsideError
from portside.host.base import Host
from portside.host.script import script_argv
from portside.observe import look as seen
from portside.observe.place import SITE, central, place
from portside.observe.stack import OPTIONAL, Stack, read_stack, wanted
from portside.report import Reporter, timed
from portside.steps import GRACE

PASSWORD_FILE = f"~/.portside/{SITE}/secrets/grafana/admin-password"
DOWN_SECONDS = 240
POLL_SECONDS = 0.5
# Monitoring isn't well: `--status` ends with this, as `invoke doctor` does with findings.
UNWELL = 1


def observe_command(env: str | None, *, down: bool, volumes: bool, status: bool, browser: bool, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        if down and status:
            raise ConfigError("say either --down or --status", where="observe")
        if volumes and not down:
            raise ConfigError("it goes with --down", where="--volumes")
        config = project(env)
        async with central(config.observe) as host:
            if down:
                await _down(host, terminal, volumes=volumes)
            elif status:
                return await _status(config, host, terminal)
            else:
                await _up(config, host, terminal, browser=browser and not machine)
        return 0

    run(act, machine=machine)


@dataclass(frozen=True)
class Raised:
    """A stack that is up. `left_out` maps components to why; `password` is Grafana's when it was made just now."""

    host: str
    components: tuple[str, ...]
    addresses: Mapping[str, str]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    password: str = field(repr=False)

    def lines(self, *, terminal: bool) -> list[str]:
        """What a person is told; a new password only at a terminal, because a pipe's other end may be kept."""
        lines = [f"{name:<13}{address}" for name, address in self.addresses.items()]
        lines += [f"{name:<13}left out: {reason}" for name, reason in self.left_out.items()]
        lines += self.notes
        if "grafana" in self.components:
            shown = f" {self.password}, shown this once;" if self.password and terminal else ""
            lines.append(f"Grafana's user is admin, its password{shown} is in {PASSWORD_FILE} on {self.host}.")
        return lines


async def bring_up(config: Config, host: Host, reporter: Reporter) -> Raised:
    """The stack on `host`, and the agent of that machine. Raises PortsideError."""
    observe = config.observe
    images = wanted(config)
    alertmanager, secrets = alertmanager_files(config), await receiver_secrets(config)
    delivery = Delivery(config, place(observe), reporter, [host])
    with timed(reporter, host.name, "images"):
        left_out = await _provide(delivery, host, images)
    had = {name: image for name, image in images.items() if name not in left_out}
    stack = read_stack(config, had, alertmanager, secrets)
    with timed(reporter, host.name, "start"):
        password = await _start(stack, host, images.get("ingest", "-"), observe.start_deadline)
    with timed(reporter, host.name, "ready"):
        await _ready(stack, host, observe.start_deadline)
    notes = [*await install_beside(config, reporter), *untold(observe.receivers, list(config.env))]
    addresses = {name: address for name, address in _addresses(observe).items() if name in stack.components}
    return Raised(host.name, stack.components, addresses, left_out, tuple(notes), password)


async def _up(config: Config, host: Host, terminal: Terminal, *, browser: bool) -> None:
    observe = config.observe
    raised = await bring_up(config, host, terminal.reporter)
    lines = raised.lines(terminal=terminal.out.is_terminal)
    if observe.host and observe.grafana.startswith("127."):
        port = observe.grafana.rpartition(":")[2]
        lines.append(f"From here: ssh -L {port}:{observe.grafana} {observe.host}")
    terminal.result(
        {
            "host": raised.host,
            "components": list(raised.components),
            "left_out": dict(raised.left_out),
            "addresses": dict(raised.addresses),
            "notes": list(raised.notes),
            "password_file": PASSWORD_FILE if "grafana" in raised.components else None,
        },
        "\n".join(lines),
    )
    if browser and not observe.host and "grafana" in raised.components and _desktop():
        await asyncio.to_thread(webbrowser.open, raised.addresses["grafana"])


async def _provide(delivery: Delivery, host: Host, images: Mapping[str, str]) -> dict[str, str]:
    """Bring the images to the stack's machine; the components that go without, and why."""
    left_out = {}
    for name, image in images.items():
        try:
            await delivery.provide_named(host, image)
        except PortsideError as error:
            # Also one that didn't arrive in time: what the stack can do without holds up nothing else.
            if name not in OPTIONAL:
                raise
            left_out[name] = f"{image} can't be had ({error.why.rsplit(': ', 1)[-1].strip()[:80] or error.what})"
            delivery.reporter.say(f"{host.name}: {name} is left out: {left_out[name]}")
    return left_out


async def _start(stack: Stack, host: Host, gateway: str, seconds: float) -> str:
    """Give the machine the stack's files and start it. Returns Grafana's password when it was made just now."""
    argv = script_argv("observe", SITE, f"{seconds:.0f}", gateway, *stack.components)
    result = await host.run(argv, stdin=stack.archive, timeout=seconds + GRACE)
    result.check(
        "the monitoring stack did not start",
        remedy=f"Its log there: docker compose -p portside-{SITE} logs. Once mended: invoke observe",
    )
    return result.text


async def _ready(stack: Stack, host: Host, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        found = await seen.look(host, only_ready=True)
        waiting = [
            name for name in stack.components if name not in found.components or not found.components[name].ready
        ]
        if not waiting:
            return
        if time.monotonic() > until:
            raise HostError(
                f"{', '.join(waiting)} not ready within {seconds:g} s",
                where=host.name,
                remedy=f"Look there: docker compose -p portside-{SITE} logs {waiting[0]}",
            )
        await asyncio.sleep(POLL_SECONDS)


async def _down(host: Host, terminal: Terminal, *, volumes: bool) -> None:
    with timed(terminal.reporter, host.name, "down"):
        result = await host.run(script_argv("observe_down", SITE, "1" if volumes else "0"), timeout=DOWN_SECONDS)
        result.check("the monitoring stack could not be taken away")
    terminal.result(
        {"host": host.name, "down": True, "volumes": volumes},
        "The monitoring stack is gone, with all that it had gathered."
        if volumes
        else "The monitoring stack is down. What it has gathered is kept: invoke observe",
    )


async def _status(config: Config, host: Host, terminal: Terminal) -> int:
    found = await seen.look(host)
    absent = sorted(set(wanted(config)) - set(found.components))
    well = found.well and not set(absent) - OPTIONAL
    data = {"host": host.name, **found.data(), "left_out": absent, "well": well}
    if terminal.machine:
        terminal.result(data, "")
    elif not found.components:
        terminal.result(data, f"The monitoring stack doesn't run on {host.name}. Start it: invoke observe")
    else:
        _show(found, absent, terminal)
    return 0 if well else UNWELL


def _show(found: seen.Stack, absent: list[str], terminal: Terminal) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("component", "ready", "container", "health", "restarts"):
        table.add_column(column)
    for name, component in found.components.items():
        ready = "✓" if component.ready else "✗"
        table.add_row(name, ready, component.state, component.health, str(component.restarts))
    for name in absent:
        table.add_row(name, "–", "left out" if name in OPTIONAL else "not there", "", "")
    terminal.out.print(table)
    for title, rows in (
        ("Targets down", found.targets_down),
        ("Agents that stopped writing", found.agents_gone),
        ("Rules failing", found.rules_failing),
        ("Alerts", [row for row in found.alerts if row.get("severity") != "none"]),
    ):
        terminal.out.print(f"{title}: {len(rows) or 'none'}")
        for row in rows:
            terminal.out.print(f"  {_line(row)}")
    if found.log_lag_seconds:
        lags = ", ".join(f"{host} {seconds:.0f} s" for host, seconds in sorted(found.log_lag_seconds.items()))
        terminal.out.print(f"Log lag: {lags}")
    else:
        terminal.out.print("Log lag: no host sends logs")


def _line(row: Mapping[str, str]) -> str:
    """One finding for a person; of an alert what a page would say first."""
    if "summary" not in row:
        return ", ".join(f"{key} {value}" for key, value in row.items() if value)
    since = datetime.fromisoformat(row["since"]).astimezone()
    return f"{row.get('severity', '').upper()} {row['alertname']}: {row['summary']} (since {since:%d %b %H:%M})"


def _addresses(observe: Observe) -> dict[str, str]:
    """What a person opens, as seen from the stack's machine; and what agents on other hosts write to."""
    addresses = {name: f"http://{getattr(observe, name)}" for name in ("grafana", "prometheus", "alertmanager")}
    if observe.ingest_address:
        addresses["ingest"] = f"https://{observe.ingest_address}"
    return addresses


def _desktop() -> bool:
    """Whether somebody sits there who would see a browser: not in CI, not over SSH."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
