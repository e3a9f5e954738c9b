"""A project with a SOPS file, and an editor that types for its person."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portside.secrets.sops_files import edit, make

CANARY = "sops-canary-77c1"
TOML = """
[service]
name = "links"

[env.prod]
hosts = ["deploy@a"]
secrets = { TOKEN = "sops:secrets/prod.yaml#TOKEN", OTHER = "sops:secrets/prod.yaml#nested.other" }
"""


def editor(tmp_path: Path, text: str) -> str:
    """A program that writes `text` where a person would type it."""
    script = tmp_path / "editor.py"
    script.write_text(f"import sys, pathlib\npathlib.Path(sys.argv[1]).write_text({text!r})\n")
    return f"{sys.executable} {script}"


async def kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """An encrypted secrets/prod.yaml with `text` in it."""
    await make(root, "secrets/prod.yaml", {"TOKEN"})
    monkeypatch.setenv("EDITOR", editor(tmp_path, text))
    assert await edit(root, "secrets/prod.yaml")
