"""What is shipped as an example fits its database, also while two releases are up."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cpu_quota import MEMORY_PER_WORKER
from app.settings import Settings

ROOT = Path(__file__).parents[3]
# What PostgreSQL keeps for its superuser.
RESERVED = 3


def connections(env: dict[str, Any]) -> int:
    """Of two releases in an environment of portside.toml, on hosts with more processors than memory for workers."""
    services = yaml.safe_load((ROOT / "compose" / "app.yaml").read_text())["services"]
    replicas = {name: service["deploy"]["replicas"] for name, service in services.items()} | env.get("replicas", {})
    memory = int(services["web"]["deploy"]["resources"]["limits"]["memory"].removesuffix("M")) * 1024 * 1024
    pools = memory // MEMORY_PER_WORKER * (Settings(DATABASE_URL=None).database_pool_size + 1)
    hosts = len(env.get("hosts", ["this machine"]))
    return 2 * hosts * replicas["web"] * pools + hosts * replicas["worker"] + 1


@pytest.mark.parametrize("name", ["local", "staging"])
def test_the_accessory_takes_two_releases_at_once(name: str) -> None:
    accessories = yaml.safe_load((ROOT / "compose" / "accessories.yaml").read_text())
    (allowed,) = re.findall(r"max_connections=(\d+)", " ".join(accessories["services"]["postgres"]["command"]))
    needed = connections(tomllib.loads((ROOT / "portside.toml").read_text())["env"][name])
    assert needed == 98
    assert needed + RESERVED <= int(allowed)


def test_what_production_needs_is_said() -> None:
    needed = connections(tomllib.loads((ROOT / "portside.toml").read_text())["env"]["prod"])
    assert f"come to {needed}:" in (ROOT / "docs" / "service.md").read_text()
