"""`invoke notify-test`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portside.errors import ConfigError, PortsideError
from tests.unit.notify.telling import ROOT, SECRET, Receiver, settings, told_by

pytestmark = pytest.mark.slow


def notify_test(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "notify-test", "--env", "prod", "--json"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_message_says_that_it_is_one(tmp_path: Path, receiver: Receiver) -> None:
    told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"\nevents = ["undone"]')
    done = notify_test(tmp_path, URL=receiver.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"env": "prod", "told": ["team"]}
    assert "a test message for prod" in receiver.bodies()[0]["title"]
    assert "Nothing was released" in receiver.bodies()[0]["text"]


def test_a_test_message_that_does_not_arrive_is_an_error(tmp_path: Path) -> None:
    told_by(tmp_path, 'kind = "webhook"\nsecret = "env:URL"')
    done = notify_test(tmp_path, URL=f"{SECRET} without a scheme")
    assert done.returncode == PortsideError.exit_code
    assert "team: its secret is no URL" in json.loads(done.stdout)["why"]
    assert SECRET not in done.stdout + done.stderr


def test_a_test_message_to_nobody_says_how_to_add_somebody(tmp_path: Path) -> None:
    settings(tmp_path, "")
    done = notify_test(tmp_path)
    assert done.returncode == ConfigError.exit_code
    assert "docs/notifications.md" in done.stderr
