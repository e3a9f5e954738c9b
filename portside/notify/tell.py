"""Tell everybody who wants to know of an event, all at once, before a deadline, whatever goes wrong with any."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from portside.config import FILE, Config, Environment, Notifier
from portside.errors import PortsideError
from portside.notify import mail, slack, webhook
from portside.notify.base import DEADLINE, NotToldError, Send
from portside.notify.event import Event
from portside.secrets import resolve_one
from portside.secrets.scrub import scrub
from portside.thread import in_thread

SENDERS: dict[str, Send] = {"slack": slack.send, "webhook": webhook.send, "email": mail.send}


async def notify(config: Config, environment: Environment, event: Event) -> list[str]:
    """Tell all notifiers that want this event; a line for each that could not be told. Raises nothing."""
    told = await tell(config, environment, event)
    return [
        f"{config.notify[name].kind} notifier {name} was not told ({event.kind}): {why}. "
        f"Try it: invoke notify-test --env {environment.name}"
        for name, why in told.items()
        if why
    ]


async def tell(config: Config, environment: Environment, event: Event) -> Mapping[str, str]:
    """Who was told, and why not; "" where it arrived."""
    event = event.model_copy(update={"reason": scrub(event.reason)})
    chosen = {name: each for name, each in config.notify.items() if each.wants(event.kind, environment.name)}
    reasons = await asyncio.gather(*(_told(config, name, settings, event) for name, settings in chosen.items()))
    return dict(zip(chosen, reasons, strict=True))


async def _told(config: Config, name: str, settings: Notifier, event: Event) -> str:
    try:
        async with asyncio.timeout(DEADLINE):
            secrets = await secrets_of(config, name)
            await in_thread(partial(SENDERS[settings.kind], settings, secrets, event), name="notify")
    except TimeoutError:
        return f"it did not end within {DEADLINE:g} s"
    except NotToldError as error:
        return str(error)
    except PortsideError as error:
        return str(error).replace("\n", " ")
    except Exception as error:  # whatever a notifier trips over, a release doesn't; the text might hold its secret
        return f"something unexpected happened: {type(error).__name__}"
    return ""


async def secrets_of(config: Config, name: str) -> Mapping[str, str]:
    """The values behind a notifier's references, by key. Raises ConfigError for one that is missing."""
    settings = config.notify[name]
    references = {"secret": settings.secret, "signing_secret": settings.signing_secret}
    return {
        key: await resolve_one(reference, config.root, "notify", f"{FILE}: notify.{name}.{key}")
        for key, reference in references.items()
        if reference
    }
