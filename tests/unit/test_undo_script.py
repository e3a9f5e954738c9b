"""A host's undo where there is no room for it, and where the start never came; the Docker Engine is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portside import steps
from tests.unit import builders
from tests.unit.test_markers import Machine

# One container of the new release, which is stopped and removed; removing it makes room.
ENGINE = """#!/bin/sh
echo "$@" >>"$HOME/asked"
case "$1" in
ps) [ -e "$HOME/removed" ] || echo "c1 web" ;;
rm) touch "$HOME/removed"; rm -rf "$HOME/.portside/sites/links-prod/lock/undone.new" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    (made.home / "bin/docker").write_text(ENGINE)
    routes = tmp_path / ".portside/proxy/routes/links-prod"
    routes.mkdir(parents=True)
    (routes / "route").write_text("green>blue\n")
    return made


def undone(machine: Machine, *, local: bool = False) -> str:
    values = {"release": "r2", "slot": "green", "previous": "r1", "previous_slot": "blue", "route": "blue"}
    machine.run(steps.undo(builders.operation("op-2", **values), "why", grace=1, local=local))
    return (machine.home / ".portside/proxy/routes/links-prod/route").read_text().strip()


def test_the_new_release_goes_first_where_it_has_filled_the_disk(machine: Machine) -> None:
    # Nothing can be written there, as on a full disk, until its containers are gone.
    (machine.site / "lock/undone.new").mkdir()
    assert undone(machine) == "blue"
    assert (machine.site / "lock/undone").read_text().strip() == "op-2"
    asked = (machine.home / "asked").read_text()
    assert asked.index("stop c1") < asked.index("rm -f c1")
    journal = (machine.site / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["a"] for line in journal if line][-1] == 2


def test_what_was_laid_aside_makes_room(machine: Machine) -> None:
    (machine.site / "ballast").write_text(" " * 65536)
    undone(machine)
    assert not (machine.site / "ballast").exists()


def test_what_stands_behind_stays_where_the_start_never_came(machine: Machine) -> None:
    route = machine.home / ".portside/proxy/routes/links-prod/route"
    route.write_text("blue>green\n")
    assert undone(machine) == "blue>green"
    route.write_text("green>blue\n")
    assert undone(machine) == "blue"


def test_an_image_goes_with_the_only_release_that_has_it(machine: Machine) -> None:
    def record(release: str, image: str) -> None:
        folder = machine.site / "releases" / release
        folder.mkdir(parents=True, exist_ok=True)
        made = builders.release(release, image=builders.release().image.model_copy(update={"reference": image}))
        (folder / "release.json").write_text(made.model_dump_json())

    record("r1", "links:sha-1")
    record("r2", "links:sha-2")
    undone(machine)
    assert "image rm links:sha-2" in (machine.home / "asked").read_text()
    assert not (machine.site / "releases/r2").exists()
    for image, local in (("links:sha-1", False), ("links:sha-2", True)):
        (machine.home / "asked").unlink()
        record("r2", image)
        undone(machine, local=local)
        assert "image rm" not in (machine.home / "asked").read_text()


@pytest.mark.parametrize("left", ['{"a": 0, "pha', '{"a": 0, "pha\0\0\0'], ids=["a full disk", "a power cut"])
def test_half_a_line_in_the_journal_takes_none_of_an_undo_with_it(machine: Machine, left: str) -> None:
    (machine.site / "journal.jsonl").write_text(left)
    undone(machine)
    half, *whole = (machine.site / "journal.jsonl").read_text().splitlines()
    assert half == left
    assert [json.loads(line)["a"] for line in whole] == [1, 2]
