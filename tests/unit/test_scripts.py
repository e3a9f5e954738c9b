"""The scripts that run on a host are checked as the host gets them: library first, then the script."""

from __future__ import annotations

import subprocess

import pytest

from portside.host.script import SCRIPTS, script_text


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_shellcheck_finds_nothing(name: str) -> None:
    checked = subprocess.run(
        ["shellcheck", "--shell=bash", "-"],
        input=script_text(name).encode(),
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout.decode()
