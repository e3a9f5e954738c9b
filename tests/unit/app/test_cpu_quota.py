"""The number of workers follows the container's limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cpu_quota import cpu_quota, workers_for_container


def write(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.mark.parametrize(
    ("quota", "workers"),
    [("50000 100000", 1), ("100000 100000", 1), ("150000 100000", 2), ("400000 100000", 4)],
)
def test_version_2_quotas_are_rounded_up(tmp_path: Path, quota: str, workers: int) -> None:
    assert workers_for_container(write(tmp_path, **{"cpu-max": quota})) == workers


def test_version_1_quotas_are_read_too(tmp_path: Path) -> None:
    write(tmp_path, **{"cpu__cpu-cfs_quota_us": "250000", "cpu__cpu-cfs_period_us": "100000"})
    assert cpu_quota(tmp_path) == 2.5
    assert workers_for_container(tmp_path) == 3


@pytest.mark.parametrize(
    "files",
    [{}, {"cpu-max": "max 100000"}, {"cpu__cpu-cfs_quota_us": "-1", "cpu__cpu-cfs_period_us": "100000"}],
)
def test_without_a_quota_there_is_a_worker_per_cpu(tmp_path: Path, files: dict[str, str]) -> None:
    assert cpu_quota(write(tmp_path, **files)) is None
    assert workers_for_container(tmp_path) == len(os.sched_getaffinity(0))


def test_little_memory_means_fewer_workers_but_never_none(tmp_path: Path) -> None:
    write(tmp_path, **{"cpu-max": "800000 100000", "memory-max": str(300 * 1024 * 1024)})
    assert workers_for_container(tmp_path) == 2
    write(tmp_path, **{"memory-max": str(64 * 1024 * 1024)})
    assert workers_for_container(tmp_path) == 1
