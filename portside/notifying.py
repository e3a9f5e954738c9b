"""The command that tries notifiers, before a release at night depends on them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from portside.cli import Terminal, project, run
from portside.config import FILE
from portside.errors import ConfigError, PortsideError
from portside.notify.event import Event
from portside.notify.tell import tell
from portside.operators import job, operator


def notify_test_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        environment = config.environment(env)
        event = Event(
            id=f"test-{secrets.token_hex(6)}",
            kind="test",
            operation="deploy",
            service=config.service.name,
            env=env,
            release="",
            previous=None,
            by=operator(),
            commit="",
            hosts=environment.hosts,
            seconds=None,
            reason="",
            link=job(),
            at=datetime.now(UTC),
        )
        told = await tell(config, environment, event)
        if not told:
            raise ConfigError(
                f"nobody is told of releases to {env}",
                where=f"{FILE}: notify",
                remedy="Add a block [notify.NAME]: docs/notifications.md",
            )
        failed = {name: why for name, why in told.items() if why}
        arrived = sorted(set(told) - set(failed))
        if failed:
            raise PortsideError(
                f"{len(failed)} of {len(told)} notifiers could not be told",
                where=f"{FILE}: notify",
                why="\n".join(f"{name}: {why}" for name, why in failed.items()),
                remedy=f"Correct it and type: invoke notify-test --env {env}",
            )
        terminal.result({"env": env, "told": arrived}, f"✓ A test message went to {', '.join(arrived)}.")

    run(act, machine=machine)
