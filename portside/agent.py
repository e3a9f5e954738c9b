"""What watches a host, as values: the files of its Compose project, made from observability/, and their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from portside.config import Config
from portside.errors import ConfigError
from portside.facts import State
from portside.observe.ingest import PUSH_URL, WRITE_URL, Ingest
from portside.observe.versions import FILE, FOLDER, versions

COMPOSE = FOLDER / "agent.yaml"
# Where each file that people edit is inside the containers, below /etc/agent.
SOURCES = {
    "prometheus-agent.yml": FOLDER / "agent/prometheus-agent.yml",
    "blackbox.yml": FOLDER / "agent/blackbox.yml",
    "docker-proxy.json": FOLDER / "agent/docker-proxy.json",
    "config.alloy": FOLDER / "alloy/config.alloy",
}
NEEDED = {"prometheus": "PROMETHEUS_IMAGE", "node": "NODE_EXPORTER_IMAGE", "blackbox": "BLACKBOX_EXPORTER_IMAGE"}
OPTIONAL = {"alloy": "ALLOY_IMAGE", "cadvisor": "CADVISOR_IMAGE"}
# What is missing where an image can't be had.
WITHOUT = {"alloy": "no logs in Loki", "cadvisor": "no metrics of single containers"}
PASSWORD, AUTHORITY = "/secrets/password", "/secrets/ca.pem"


@dataclass(frozen=True)
class Agent:
    """The agent as this tree has it. `images` by the Compose service; none of it differs between hosts."""

    compose: str
    config: Mapping[str, str]
    images: Mapping[str, str]
    proxy_image: str

    def fingerprint(self, destination: str, host: str) -> str:
        """What tells two agents apart: one's `destination` (the gateway's address, "" beside the stack), and what its
        `host` is called."""
        whole = repr((self.compose, sorted(self.config.items()), sorted(self.images.items()), self.proxy_image))
        return hashlib.sha256(f"{whole}{destination}{host}".encode()).hexdigest()[:16]

    def files(self, ingest: Ingest | None, left_out: Collection[str]) -> dict[str, str]:
        """The files of the agent's folder on a host, by name. Those in secrets/ are what nobody else may read."""
        config = dict(self.config)
        config["prometheus-agent.yml"] = scraping(config["prometheus-agent.yml"], ingest, left_out)
        variables = {name: self.images[service] for service, name in (NEEDED | OPTIONAL).items()}
        variables |= {"CADDY_IMAGE": self.proxy_image, **_loki(ingest)}
        return {
            "compose.yaml": self.compose,
            "images.env": "".join(f"{name}={value}\n" for name, value in variables.items()),
            **{f"config/{name}": text for name, text in config.items()},
            "secrets/password": ingest.password.get_secret_value() if ingest else "",
            "secrets/ca.pem": ingest.ca if ingest else "",
            # Beside them and no label: Prometheus and Alloy read the files above for every request, so others need no
            # other containers, and what hasn't been sent yet isn't lost with the old ones.
            "secrets/fingerprint": credentials(ingest),
        }


def read_agent(config: Config) -> Agent:
    """The agent's files. Raises ConfigError for one that is missing."""
    known = versions(config.root)
    images = {service: known.get(name, "") for service, name in (NEEDED | OPTIONAL).items()}
    for service, image in images.items():
        if not image:
            raise ConfigError(f"{(NEEDED | OPTIONAL)[service]} is not set", where=str(FILE))
    return Agent(
        compose=_text(config.root / COMPOSE),
        config={name: _text(config.root / path) for name, path in SOURCES.items()},
        images=images,
        proxy_image=config.images.proxy,
    )


def credentials(ingest: Ingest | None) -> str:
    """Tells whether a host has the gateway's present password and certificate; "-" beside the stack."""
    if ingest is None:
        return "-"
    whole = f"{ingest.url}\n{ingest.user}\n{ingest.password.get_secret_value()}\n{ingest.ca}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def is_current(state: State, fingerprint: str, secrets: str | None = None) -> bool:
    """Whether a host runs this agent, all of it; with these credentials, where `secrets` says which."""
    agent = state.agent
    if agent is None or not agent.running or not set(NEEDED) <= set(agent.services):
        return False
    return agent.fingerprint == fingerprint and secrets in (None, agent.credentials)


def scraping(template: str, ingest: Ingest | None, left_out: Collection[str]) -> str:
    """Prometheus' configuration: the template's jobs but those in `left_out`, and where to send what they find."""
    data: dict[str, Any] = yaml.safe_load(template)
    data["scrape_configs"] = [job for job in data["scrape_configs"] if job["job_name"] not in left_out]
    write: dict[str, Any] = {
        "name": "central",
        "url": f"{ingest.url}/api/v1/write" if ingest else WRITE_URL,
        # One host's worth, sent at once when there is enough and every five seconds when there isn't.
        "queue_config": {"max_shards": 4, "max_samples_per_send": 2000, "max_backoff": "30s"},
    }
    if ingest:
        write["basic_auth"] = {"username": ingest.user, "password_file": PASSWORD}
        write["tls_config"] = {"ca_file": AUTHORITY}
    data["remote_write"] = [write]
    return "# Made by the engine from prometheus-agent.yml.\n" + yaml.dump(data, Dumper=_Plain, sort_keys=False)


def _loki(ingest: Ingest | None) -> dict[str, str]:
    return {
        "LOKI_URL": f"{ingest.url}/loki/api/v1/push" if ingest else PUSH_URL,
        "LOKI_USERNAME": ingest.user if ingest else "",
        "LOKI_PASSWORD_FILE": PASSWORD if ingest else "",
        "LOKI_CA_FILE": AUTHORITY if ingest else "",
    }


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "not readable", where=str(path), why=str(error), remedy="It comes with the project; restore it from git."
        ) from None


class _Plain(yaml.SafeDumper):
    """What was an anchor is written out: a reader of the file on a host has enough to find already."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
