"""The exact images of the monitoring, from observability/versions.env."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from portside.errors import ConfigError

FOLDER = Path("observability")
FILE = FOLDER / "versions.env"


def versions(root: Path) -> Mapping[str, str]:
    """`PROMETHEUS_IMAGE` to `prom/prometheus:v3…` and so on, for the variables of compose.yaml and agent.yaml."""
    path = root / FILE
    if not path.is_file():
        raise ConfigError(
            "not found",
            where=str(path),
            remedy="Copy the folder observability/ from Portside's repository: it is part of a project.",
        )
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
