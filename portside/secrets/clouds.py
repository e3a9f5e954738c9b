"""The clouds' own libraries: loaded where one of them is named, and not before."""

from __future__ import annotations

import importlib
from typing import Any

from portside.secrets.base import UnreachableSourceError


def library(name: str) -> Any:
    """The module called `name`. Raises UnreachableSourceError that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnreachableSourceError(f"the Python package of {name} isn't installed: uv sync --group clouds") from None
