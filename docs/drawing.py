"""Draw the picture of docs/architecture.md from the layers that import-linter checks: `python docs/drawing.py`."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- layers: drawn by docs/drawing.py -->", "<!-- end of layers -->"


def layers() -> list[list[str]]:
    """The layers of the engine, top first, as pyproject.toml has them."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(each for each in data["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def purpose(module: str) -> str:
    """The first line of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


def picture() -> str:
    """A table: a row per layer, each module with what it is for. Imports point down."""
    lines = ["| | module | what it is for |", "|---|---|---|"]
    for number, layer in enumerate(layers(), 1):
        for position, module in enumerate(layer):
            lines.append(f"| {number if position == 0 else ''} | `{module}` | {purpose(module)} |")
    return "\n".join(lines)


def drawn(page: str) -> str:
    """The page with its picture as it should be."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{picture()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
    sys.stdout.write(f"{PAGE} is drawn\n")
