"""A real Loki with this repository's configuration, and a real Alertmanager behind its ruler."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from portside.errors import BuildError
from portside.image.bases import ensure_image
from portside.observe.versions import versions
from tests.lab.notrun import NO_IMAGE
from tests.lab.project import REPOSITORY
from tests.unit.observability.alloy_labels import shape, timestamp

FOLDER = REPOSITORY / "observability/loki"
IMAGE_SECONDS = 120.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0
# A Loki binary to run instead of the image.
BINARY = "PORTSIDE_LOKI"


@dataclass(frozen=True)
class Loki:
    """One that listens on this machine."""

    url: str

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return httpx.get(self.url + path, params=parameters, timeout=30, trust_env=False)

    def push(self, target: dict[str, str], lines: Iterable[str]) -> httpx.Response:
        """Send lines of a container with these labels as Alloy would: to the push API, in Alloy's shape."""
        streams: dict[tuple[tuple[str, str], ...], list[Any]] = {}
        for line in lines:
            sent = shape(target, line)
            entry = [str(_nanoseconds(timestamp(line))), line, sent.metadata]
            streams.setdefault(tuple(sorted(sent.labels.items())), []).append(entry)
        body = {"streams": [{"stream": dict(labels), "values": values} for labels, values in streams.items()]}
        return httpx.post(f"{self.url}/loki/api/v1/push", json=body, timeout=30, trust_env=False)

    def query(self, expression: str) -> list[str]:
        """The lines of the last hour, in the order of their time."""
        answer = self.get("/loki/api/v1/query_range", query=expression, limit=5000)
        assert answer.status_code == 200, answer.text
        found = [value for stream in answer.json()["data"]["result"] for value in stream["values"]]
        return [line for _, line in sorted(found)]

    def labels(self) -> set[str]:
        return set(self.get("/loki/api/v1/labels").json()["data"])

    def alerts(self) -> list[dict[str, Any]]:
        """What its ruler holds for pending or firing."""
        found: list[dict[str, Any]] = self.get("/prometheus/api/v1/alerts").json()["data"]["alerts"]
        return found


def _nanoseconds(time_of_line: str | None) -> int:
    if time_of_line is None:
        return time.time_ns()
    moment = datetime.fromisoformat(time_of_line)
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000


class NoImageError(Exception):
    """The image can't be had on this machine."""


@cache
def image(name: str) -> str:
    """The reference that observability/versions.env has for it, once the Engine has the image."""
    reference = versions(REPOSITORY)[name]
    try:
        asyncio.run(asyncio.wait_for(ensure_image(reference, say=print), IMAGE_SECONDS))
    except (BuildError, TimeoutError) as error:
        raise NoImageError(reference) from error
    return reference


@contextmanager
def running_loki(home: Path, alertmanager: str, *, rules: Path, port: int, retention: str) -> Iterator[Loki]:
    """From ready to stopped; its data is in `home`. Skips the test where there is neither an image nor a binary."""
    environment = {"ALERTMANAGER_URL": alertmanager, "LOG_RETENTION": retention}
    listen = ["-server.http-listen-address=127.0.0.1", f"-server.http-listen-port={port}"]
    flags = ["-config.expand-env=true", *listen, f"-server.grpc-listen-port={port + 1}"]
    data = home / "data"
    data.mkdir()
    binary = os.environ.get(BINARY)
    command = (
        _binary(binary, data, rules) if binary else _container(data, rules, environment, f"portside-test-loki-{port}")
    )
    with _process([*command, *flags], home / "loki.log", environment):
        loki = Loki(f"http://127.0.0.1:{port}")
        wait(lambda: _ready(f"{loki.url}/ready"), START_SECONDS, home / "loki.log")
        yield loki


def _binary(binary: str, data: Path, rules: Path) -> list[str]:
    return [
        *(binary, f"-config.file={FOLDER}/loki.yml", f"-runtime-config.file={FOLDER}/overrides.yml"),
        *(f"-common.path-prefix={data}", f"-common.storage.filesystem.chunk-directory={data}/chunks"),
        *(f"-ruler.wal.dir={data}/ruler-wal", f"-ruler.storage.local.directory={rules}"),
    ]


def _container(data: Path, rules: Path, environment: dict[str, str], name: str) -> list[str]:
    try:
        reference = image("LOKI_IMAGE")
    except NoImageError:
        pytest.skip(NO_IMAGE)
    mounts = {FOLDER: "/etc/loki:ro", rules: "/etc/loki/rules:ro", data: "/loki"}
    return [*docker_run(name, mounts, environment), "--memory=512m", reference, "-config.file=/etc/loki/loki.yml"]


def docker_run(name: str, mounts: Mapping[Path, str], environment: Mapping[str, str]) -> list[str]:
    """As this user, on this machine's own network, with a read-only root. Ends with SIGTERM to this command."""
    return [
        *("docker", "run", "--rm", f"--name={name}", "--network=host", "--read-only", "--cap-drop=ALL"),
        f"--user={os.getuid()}:{os.getgid()}",
        *(f"--volume={source}:{target}" for source, target in mounts.items()),
        *(f"--env={variable}={value}" for variable, value in environment.items()),
    ]


@contextmanager
def running_alertmanager(home: Path, *, port: int) -> Iterator[str]:
    """One that keeps what it gets and tells nobody; its address."""
    configuration = home / "alertmanager.yml"
    configuration.write_text(yaml.safe_dump({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}))
    (home / "data").mkdir()
    mounts = {configuration: "/etc/alertmanager/alertmanager.yml:ro", home / "data": "/alertmanager"}
    command = [
        *(*docker_run(f"portside-test-alertmanager-{port}", mounts, {}), image("ALERTMANAGER_IMAGE")),
        *("--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    with _process(command, home / "alertmanager.log", {}):
        url = f"http://127.0.0.1:{port}"
        wait(lambda: _ready(f"{url}/-/ready"), START_SECONDS, home / "alertmanager.log")
        yield url


@contextmanager
def _process(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **environment}, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def wait(condition: Callable[[], bool], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s:\n{log.read_text()[-3000:]}"
        time.sleep(0.2)


def rules_in_a_hurry(folder: Path) -> Path:
    """The shipped rules, evaluated every second and firing 5 s after their expression: nothing else is changed."""
    for file in FOLDER.glob("rules/*/*.yml"):
        data = yaml.safe_load(file.read_text())
        for group in data["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = "5s"
        copy = folder / file.relative_to(FOLDER / "rules")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(yaml.safe_dump(data))
    return folder


def days_ago(days: float) -> str:
    return datetime.fromtimestamp(time.time() - days * 86400, UTC).isoformat()
