"""The simulated hosts from outside: their process, and a project that releases to them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.project import SERVICE
from bench.typed import COMPILED, REPOSITORY
from portside.errors import CommandError
from portside.lab.values import Lab, load_lab

ANSWER_SECONDS = 60.0
STOP_SECONDS = 10.0
# Digests of images that need not be anywhere: a simulated host has whatever it is asked for.
IMAGES = tuple(f"registry.example.com/bench@sha256:{letter * 64}" for letter in "ab")


class Simulation:
    """Hosts that can be told what to be like."""

    def __init__(self, process: subprocess.Popen[bytes], lab: Lab) -> None:
        self._process = process
        self.lab = lab

    def become(
        self, latency: float, *, slow: Mapping[str, float] | None = None, faults: Mapping[str, str] | None = None
    ) -> None:
        """`latency` in seconds per direction, times `slow`'s factor; `faults` by host name (bench/scale/servers.py)."""
        wanted = json.dumps({"latency": latency, "slow": slow or {}, "faults": faults or {}})
        if self._process.stdin is not None:
            self._process.stdin.write(wanted.encode() + b"\n")
            self._process.stdin.flush()
        ready(self._process)


def ready(process: subprocess.Popen[bytes]) -> None:
    """Wait for the line that says it is so. Raises CommandError."""
    said = process.stdout
    if said is None or not select.select([said], [], [], ANSWER_SECONDS)[0] or said.readline().strip() != b"ready":
        raise CommandError("the simulated hosts don't answer", where="this machine")


@contextmanager
def simulated(count: int, folder: Path) -> Iterator[Simulation]:
    """`count` hosts, gone with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.scale.servers", str(folder), str(count)],
        cwd=REPOSITORY,
        env={**os.environ, **COMPILED},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            ready(process)
            yield Simulation(process, load_lab(folder))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def write_project(folder: Path, root: Path, lab: Lab, counts: Sequence[int]) -> None:
    """portside.toml with an environment `n<count>` for each count, on the first hosts of the lab."""
    compose = folder / "compose"
    compose.mkdir(parents=True)
    shutil.copy2(root / "compose" / "proxy.yaml", compose)
    shutil.copy2(SERVICE / "compose.yaml", compose / "app.yaml")
    names = [host.name for host in lab.hosts]
    environments = "".join(f"[env.n{count}]\nhosts = {json.dumps(names[:count])}\n" for count in counts)
    (folder / "portside.toml").write_text(
        f"""
[service]
name = "bench"

[defaults]
bake = 0
http = "0.0.0.0:80"
registry = "registry.example.com/bench"
ssh_config = {json.dumps(str(lab.ssh_config))}
start_deadline = 5

{environments}"""
    )
