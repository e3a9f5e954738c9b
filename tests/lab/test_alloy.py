"""The real Alloy reads our configuration: its own formatter and its own validator."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.conftest import NO_IMAGE
from tests.lab.loki import NoImageError, docker_run, image
from tests.lab.project import REPOSITORY

pytestmark = pytest.mark.monitoring

FOLDER = REPOSITORY / "observability/alloy"
SECONDS = 60


@pytest.mark.parametrize("command", [("fmt", "--test"), ("validate",)], ids=lambda command: command[0])
def test_alloy_takes_our_configuration(command: tuple[str, ...]) -> None:
    try:
        reference = image("ALLOY_IMAGE")
    except NoImageError:
        pytest.skip(NO_IMAGE)
    name = f"portside-test-alloy-{command[0]}"
    argv = [*docker_run(name, {FOLDER: "/etc/alloy:ro"}, {"PORTSIDE_HOST": "web-1", "PORTSIDE_ENV": "prod"})]

    answer = subprocess.run(
        [*argv, reference, *command, "/etc/alloy/config.alloy"], capture_output=True, timeout=SECONDS, check=False
    )

    assert answer.returncode == 0, answer.stderr.decode()
