"""What an error tells of containers that a step waited for in vain; the Docker Engine is a stand-in."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

from tests.unit.test_markers import Machine

LIBRARY = (files("portside.host") / "scripts/lib.sh").read_text()
# `web` can't be checked, `worker` has no health check.
ENGINE = r"""#!/bin/sh
case "$1 $*" in
inspect*Health*web) printf 'health check of web: exit code -1: no\r\n/bin/sh\n' ;;
inspect*Health*) ;;
inspect*) echo "/$4 (running, exit code 0)" ;;
logs*) echo "all is well at $4" ;;
esac
"""


def last_words(home: Path, *ids: str) -> list[str]:
    machine = Machine(home)
    (machine.home / "bin/docker").write_text(ENGINE)
    done = subprocess.run(
        ["bash", "-c", f'{LIBRARY}\nlast_words "$@"', "test", "links-prod", *ids],
        env={"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_health_check_that_fails_is_the_last_of_the_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path, "web", "worker") == [
        "--- last log lines of web (running, exit code 0)",
        "all is well at web",
        "--- last log lines of worker (running, exit code 0)",
        "all is well at worker",
        "--- health check of web: exit code -1: no  /bin/sh",
    ]


def test_containers_without_one_have_no_words_of_a_health_check(tmp_path: Path) -> None:
    assert len(last_words(tmp_path, "worker")) == 2
