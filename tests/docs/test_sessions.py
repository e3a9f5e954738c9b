"""What follows `--` on nox's command line: whatever a person names is run."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.docs.test_pages import loaded


class Session:
    """Keeps what would be run."""

    def __init__(self, typed: str) -> None:
        self.posargs = shlex.split(typed)
        self.ran: list[str] = []

    def run(self, *argv: str, **_: Any) -> None:
        self.ran.append(shlex.join(argv))


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        ("", "tests/unit -m 'not slow'"),
        ("--hypothesis-profile=thorough", "tests/unit -m 'not slow' --hypothesis-profile=thorough"),
        ("-k slots", "tests/unit -k slots"),
        ("tests/unit/test_plan.py -x", "tests/unit/test_plan.py -x"),
    ],
)
def test_unit_tests_that_a_person_names_are_run_whatever_their_mark(
    typed: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noxfile, session = loaded("noxfile"), Session(typed)
    monkeypatch.setattr(noxfile, "install", lambda *_: None)
    noxfile.unit_tests(session, "not slow")
    assert session.ran == [f"pytest -n 2 --quiet {chosen}"]
