"""What unit and lab tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sops import TOML


@pytest.fixture
def sops_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, so that nobody's keys are touched."""
    for name in ("SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def sops_project(tmp_path: Path, sops_home: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "portside.toml").write_text(TOML)
    return folder
