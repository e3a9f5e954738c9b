"""docs/dependencies.md names what pyproject.toml has, no more and no less."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def declared() -> set[str]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = data["dependency-groups"]
    lines = [*data["project"]["dependencies"]]
    lines += [line for name, group in groups.items() if name != "dev" for line in group]
    return {re.split(r"[\[><=~!;]", line)[0] for line in lines}


def test_every_dependency_is_explained() -> None:
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE))
    assert explained - {"package"} == declared()
