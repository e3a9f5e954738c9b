"""What the central stack is made of, as values: components, their images, the files that its machine gets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from portside import compose_yaml
from portside.alerting.objectives import FILE as OBJECTIVES
from portside.alerting.objectives import objectives
from portside.compose import read_compose
from portside.config import Config
from portside.errors import ConfigError
from portside.observe.versions import FOLDER, versions
from portside.release import archive, env_digest, env_file

# What the stack can do without, where an image can't be had: it is neither in Debian nor on PyPI.
OPTIONAL = frozenset({"grafana", "loki"})
# Which files of observability/ a component gets. Alertmanager's are made from portside.toml.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "prometheus": ("prometheus.yml", "rules/*.yml"),
    "alertmanager": (),
    "grafana": ("provisioning/**/*.yaml", "dashboards/*.json"),
    "loki": ("*.yml", "rules/**/*.yml"),
    "ingest": ("Caddyfile",),
}


@dataclass(frozen=True)
class Stack:
    """`files` go below the stack's folder on its machine; those below secrets/ are its owner's alone."""

    components: tuple[str, ...]
    files: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Stack({', '.join(self.components)})"

    @property
    def archive(self) -> bytes:
        return archive(self.files)


def wanted(config: Config) -> Mapping[str, str]:
    """The components of the stack and their images. The gateway is one where `[observe].ingest` opens it."""
    known = versions(config.root)
    images = {
        name: config.images.proxy if name == "ingest" else known[f"{name.upper()}_IMAGE"]
        for name in SOURCES
        if name == "ingest" or f"{name.upper()}_IMAGE" in known
    }
    missing = set(SOURCES) - set(images)
    if missing:
        raise ConfigError(f"no image for {', '.join(sorted(missing))}", where=str(FOLDER / "versions.env"))
    if config.observe.ingest is None:
        del images["ingest"]
    return images


def read_stack(
    config: Config, images: Mapping[str, str], alertmanager: Mapping[str, str], secrets: Mapping[str, str]
) -> Stack:
    """The stack of these components, with Alertmanager's files and the secrets that those name.

    `secrets` maps file names to values; they end in a folder of their own, mode 600.
    """
    folder = config.root / FOLDER
    contents = {name: _files(folder / name, SOURCES[name]) for name in images if name != "alertmanager"}
    contents["prometheus"]["prometheus.yml"] = scraped(contents["prometheus"]["prometheus.yml"], images)
    contents["prometheus"][OBJECTIVES] = objectives(config.observe.slo)
    contents["alertmanager"] = dict(alertmanager)
    variables = {
        **{f"{name.upper()}_IMAGE": image for name, image in images.items()},
        **{f"{name.upper()}_CONFIG": _fingerprint(files) for name, files in contents.items()},
        **_settings(config),
    }
    variables["ALERTMANAGER_CONFIG"] += env_digest(secrets, site="alertmanager")[:16]
    files = {f"{name}/{path}": text for name, each in contents.items() for path, text in each.items()}
    files |= {f"secrets/alertmanager/{name}": value for name, value in secrets.items()}
    files["compose.yaml"] = trimmed(read_compose(folder / "compose.yaml"), images)
    files["env"] = env_file(variables)
    return Stack(tuple(images), files)


def _settings(config: Config) -> dict[str, str]:
    observe = config.observe
    settings = {
        "PROMETHEUS_LISTEN": observe.prometheus,
        "ALERTMANAGER_LISTEN": observe.alertmanager,
        "GRAFANA_LISTEN": observe.grafana,
        "RETENTION": observe.retention,
        "LOG_RETENTION": observe.log_retention,
    }
    if observe.ingest and observe.ingest_address:
        host = observe.ingest_address.rpartition(":")[0]
        settings |= {"INGEST_LISTEN": observe.ingest, "INGEST_HOST": host, "INGEST_NAME": host.strip("[]")}
    return settings


def trimmed(data: Mapping[str, Any], components: Collection[str]) -> str:
    """The Compose file with these components alone."""
    unknown = set(components) - set(data["services"])
    if unknown:
        raise ConfigError(f"there is no service {', '.join(sorted(unknown))}", where=str(FOLDER / "compose.yaml"))
    services = {name: service for name, service in data["services"].items() if name in components}
    kept = {key: value for key, value in data.items() if not key.startswith("x-")}
    return compose_yaml.dump({**kept, "services": services})


def scraped(text: str, components: Collection[str]) -> str:
    """Prometheus' configuration without the jobs of components that aren't there, which would be down for ever."""
    data: dict[str, Any] = yaml.safe_load(text)
    absent = set(SOURCES) - set(components)
    data["scrape_configs"] = [job for job in data["scrape_configs"] if job["job_name"] not in absent]
    return yaml.safe_dump(data, sort_keys=False, width=110)


def _files(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pattern in patterns:
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        if not paths:
            raise ConfigError("no such file", where=str(folder / pattern))
        found |= {str(path.relative_to(folder)): path.read_text() for path in paths}
    return found


def _fingerprint(files: Mapping[str, str]) -> str:
    whole = "".join(f"{name}\n{text}\n" for name, text in sorted(files.items()))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]
