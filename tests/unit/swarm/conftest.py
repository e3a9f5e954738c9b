"""What tests of a Swarm share."""

from __future__ import annotations

from pathlib import Path

import pytest

TOML = """
[service]
name = "links"
[env.prod]
orchestrator = "swarm"
registry = "registry.example.com/acme/links"
hosts = ["a", "b", "c"]
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed in a checkout whose prod is a Swarm of three nodes."""
    (tmp_path / "portside.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
