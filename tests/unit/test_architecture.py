"""The picture in docs/architecture.md is the code's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_picture_is_drawn_from_the_layers() -> None:
    spec = importlib.util.spec_from_file_location("drawing", ROOT / "docs/drawing.py")
    assert spec is not None and spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    page = (ROOT / "docs/architecture.md").read_text()
    assert drawing.drawn(page) == page, "type: python docs/drawing.py"
    named = {module.split(".")[1] for layer in drawing.layers() for module in layer}
    there = {
        path.stem for path in (ROOT / "portside").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert named == there - {"__init__"}, "every module is in a layer"
