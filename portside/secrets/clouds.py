"""The clouds' own libraries: loaded where one of them is named, and not before."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from typing import Any

from portside.secrets.base import UnreachableSourceError

# Who logs warnings on the way to an error that we report ourselves, which Python prints where nobody else does.
LOGGERS = ("azure", "botocore", "google", "hvac", "msal", "urllib3")


def library(name: str) -> Any:
    """The module called `name`. Raises UnreachableSourceError that says how to get it."""
    # What they warn of is for whoever programs with them; PYTHONWARNINGS shows it.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for logger in map(logging.getLogger, LOGGERS):
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnreachableSourceError(f"the Python package of {name} isn't installed: uv sync --group clouds") from None
