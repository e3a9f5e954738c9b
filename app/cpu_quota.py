"""How many worker processes fit this container: neither server reads its limits by itself."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
# A worker's own memory once it serves, with room for requests. A smaller container gets fewer workers.
MEMORY_PER_WORKER = 128 * 1024 * 1024


def workers_for_container(root: Path = CGROUP) -> int:
    """One per CPU of the quota, rounded up; without a quota, one per CPU; capped by the memory limit."""
    wanted = math.ceil(cpu_quota(root) or len(os.sched_getaffinity(0)))
    memory = memory_limit(root)
    if memory is not None:
        wanted = min(wanted, memory // MEMORY_PER_WORKER)
    return max(1, wanted)


def cpu_quota(root: Path = CGROUP) -> float | None:
    """CPUs this container may use (1.5, say), or None when there is no limit."""
    if (version2 := _read(root / "cpu.max")) is not None:
        quota, _, period = version2.partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    version1 = root / "cpu"
    quota_v1, period_v1 = _read(version1 / "cpu.cfs_quota_us"), _read(version1 / "cpu.cfs_period_us")
    if quota_v1 is None or period_v1 is None or int(quota_v1) <= 0:
        return None
    return int(quota_v1) / int(period_v1)


def memory_limit(root: Path = CGROUP) -> int | None:
    """Bytes, or None when there is no limit."""
    text = _read(root / "memory.max") or _read(root / "memory" / "memory.limit_in_bytes")
    if text is None or text == "max":
        return None
    return int(text)


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
