"""The gateway through which agents on other hosts write: one address, TLS of its own authority, one password."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from portside.config import Config
from portside.errors import HostError
from portside.host.script import script_argv
from portside.observe.place import SITE, central

USER = "agent"
# Attached to by the agent of the machine that the stack runs on, which needs no gateway. The containers' whole names,
# because the agent has a Prometheus as well.
NETWORK = "portside-observability"
WRITE_URL = "http://portside-observability-prometheus-1:9090/api/v1/write"
PUSH_URL = "http://portside-observability-loki-1:3100/loki/api/v1/push"


@dataclass(frozen=True)
class Ingest:
    """What an agent on another host needs: base address, the authority's certificate (PEM), credentials.

    Metrics go to `url` + /api/v1/write, logs to `url` + /loki/api/v1/push.
    """

    url: str
    ca: str
    user: str
    password: SecretStr


async def ingest_credentials(config: Config) -> Ingest | None:
    """What agents on other hosts show the gateway; None where `[observe].ingest` opens none.

    Asks the machine that the stack runs on, over a connection of its own. Raises HostError when that can't be
    reached, or the stack was never started there.
    """
    observe = config.observe
    if observe.ingest_address is None:
        return None
    async with central(observe) as host:
        result = await host.run(script_argv("ingest", SITE), timeout=30)
        result.check("the ingest gateway's credentials can't be read")
        password, _, ca = result.text.partition("\n")
        if not password or not ca:
            raise HostError(
                "the ingest gateway has never been started",
                where=host.name,
                remedy="Type `invoke observe`, then try again.",
            )
    return Ingest(f"https://{observe.ingest_address}", f"{ca}\n", USER, SecretStr(password))
