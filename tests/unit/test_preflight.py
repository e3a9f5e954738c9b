"""Every problem of every host, in one report, before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from portside.errors import PreflightError
from portside.preflight import check
from portside.release import Image
from tests.unit import builders

IMAGE = Image(reference="links:1", size=100_000_000, architecture="amd64")


def problems(**changes: Any) -> str:
    clock = changes.pop("clock", builders.NOW.timestamp())
    states = {
        "a": builders.state(),
        "b": builders.state(clock=clock, machine=builders.machine(**changes)),
    }
    with pytest.raises(PreflightError) as caught:
        check(states, builders.environment(), IMAGE, now=builders.NOW.timestamp())
    return caught.value.why


def test_a_fit_host_passes() -> None:
    check({"a": builders.state()}, builders.environment(), IMAGE, now=builders.NOW.timestamp())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"engine": "20.10.24"}, "Docker Engine 25.0"),
        ({"engine": "permission denied"}, "permission denied"),
        ({"compose": "1.29.2"}, "Docker Compose 2.20"),
        ({"docker_free_mb": 300}, "300 MB are free"),
        ({"home_free_mb": 20}, "20 MB are free in the deploy user's home, 50 MB are needed"),
        ({"memory_mb": 20}, "20 MB of memory"),
        ({"arch": "aarch64"}, "aarch64"),
        ({"clock": builders.NOW.timestamp() + 3600}, "3600 s ahead"),
    ],
)
def test_what_is_wrong_is_said_with_the_host(changes: dict[str, Any], named: str) -> None:
    said = problems(**changes)
    assert said.startswith("b: ")
    assert named in said


def test_a_file_system_that_is_home_and_docker_s_is_named_once() -> None:
    assert "where Docker keeps images" in problems(home_free_mb=20, docker_free_mb=20)
    assert len(problems(home_free_mb=20, docker_free_mb=20).splitlines()) == 1
    assert len(problems(home_free_mb=20, docker_free_mb=30).splitlines()) == 2
    with pytest.raises(PreflightError, match="1 problem") as caught:
        full = builders.state(machine=builders.machine(home_free_mb=20, docker_free_mb=20))
        check({"a": full}, builders.environment(min_disk_mb=-100), IMAGE, now=builders.NOW.timestamp())
    assert "home" in caught.value.why


def test_all_problems_come_at_once() -> None:
    assert len(problems(engine="1.0", compose="1.0", docker_free_mb=1, memory_mb=1).splitlines()) == 4
