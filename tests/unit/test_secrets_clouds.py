"""What the clouds' own libraries may say to a user: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

WARNS = "import warnings\ndef ask(): warnings.warn('this will go away', FutureWarning, stacklevel=2)\n"
ASKS = "from portside.secrets.clouds import library; library('cloud').ask()"


@pytest.mark.parametrize(("variables", "told"), [({}, False), ({"PYTHONWARNINGS": "default"}, True)])
def test_a_library_s_warnings_are_for_who_asks_for_them(
    tmp_path: Path, variables: Mapping[str, str], told: bool
) -> None:
    (tmp_path / "cloud.py").write_text(WARNS)
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    asked = subprocess.run(
        [sys.executable, "-c", ASKS],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ("this will go away" in asked.stderr) == told, asked.stderr
