"""What is typed after `invoke`: a mistake is an error that names the argument, and help tells the truth."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.loader import FilesystemLoader
from invoke.program import Program

from bench.command import PARTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Collection:
    monkeypatch.chdir(ROOT)
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    return Collection.from_module(module)


@pytest.mark.parametrize("typed", ["logs --tail", "lock --minutes", "dev --port", "lab-up --hosts", "bench --rounds"])
@pytest.mark.parametrize("value", ["x", "-1"])
def test_what_is_no_number_is_an_error_that_names_the_argument(
    typed: str, value: str, tasks: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Program(namespace=tasks).run(f"invoke {typed}={value}", exit=False)
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert f"✗ {typed.split()[1]}: it takes a whole number from" in said
    assert repr(value) in said


def test_help_names_every_part_of_the_benchmarks(tasks: Collection) -> None:
    (only,) = [argument for argument in tasks["bench"].get_arguments() if argument.name == "only"]
    assert [part for part in PARTS if part not in only.help] == []


def test_help_says_of_the_lock_only_where_it_is_taken(tasks: Collection) -> None:
    locked = {
        name
        for name in tasks.task_names
        for argument in tasks[name].get_arguments()
        if argument.name == "host" and "the lock" in argument.help
    }
    assert locked == {"deploy", "restart", "rollback", "maintenance", "remove"}


def test_help_tells_the_environment_that_is_taken(tasks: Collection) -> None:
    for name in tasks.task_names:
        for argument in tasks[name].get_arguments():
            if argument.name == "env" and argument.default:
                assert argument.help.endswith(f"(default: {argument.default})"), name
