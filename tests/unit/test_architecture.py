"""The picture in docs/architecture.md is the code's own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Loading one of these takes longer than a release waits for anything on its hosts.
LOADED_WHERE_NEEDED = ("httpx", "portside.image.registry_client", "portside.scan.trivy", "portside.swarm")


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


def test_a_release_loads_nothing_that_only_others_need() -> None:
    asks = "import sys, portside.releasing, portside.host.ssh; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True, text=True).stdout.split()
    assert [name for name in loaded if name.startswith(LOADED_WHERE_NEEDED)] == []
