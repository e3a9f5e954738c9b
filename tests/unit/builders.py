"""Values for unit tests, each with sensible defaults and only what a test cares about given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portside.config import Config, Environment
from portside.facts import Container, Machine, State
from portside.journal import Entry, Operation, Phase
from portside.release import Current, Image, Release, Role

NOW = datetime(2026, 11, 23, 15, 45, 1, tzinfo=UTC)


def config(root: Path = Path(), **environment: Any) -> Config:
    return Config.model_validate(
        {
            "root": root,
            "service": {"name": "links"},
            "env": {"prod": {"name": "prod", "hosts": ["deploy@a", "deploy@b"], **environment}},
        }
    )


def environment(**changes: Any) -> Environment:
    return config(**changes).environment("prod")


def release(identity: str = "20261123-154501-aaaaaa", **changes: Any) -> Release:
    values: dict[str, Any] = {
        "id": identity,
        "service": "links",
        "env": "prod",
        "image": Image(reference="links:sha-1", id="sha256:1"),
        "roles": (
            Role(name="web", replicas=2, stop_first=False),
            Role(name="worker", replicas=1, stop_first=True),
        ),
        "web": "web",
        "port": 8000,
        "readiness": "/readiness",
        "env_names": ("A",),
        "env_digest": "d1",
        "content": "c1",
        "commit": "abc",
        "created": NOW,
        "created_by": "me@here",
        "previous": None,
        "compose": "services: {}\n",
    }
    return Release(**(values | changes))


def current(identity: str, slot: str = "blue", **changes: Any) -> Current:
    values: dict[str, Any] = {"release": identity, "slot": slot, "operation": "op-0", "committed": NOW}
    return Current(**(values | changes))


def machine(**changes: Any) -> Machine:
    values: dict[str, Any] = {
        "arch": "x86_64",
        "cpus": 2,
        "memory_mb": 4000,
        "home_free_mb": 9000,
        "docker_free_mb": 9000,
        "engine": "26.1.5+dfsg1",
        "compose": "2.26.1-4",
    }
    return Machine(**(values | changes))


def state(**changes: Any) -> State:
    values: dict[str, Any] = {
        "clock": NOW.timestamp(),
        "base": "/home/deploy/.portside",
        "current": None,
        "route": "",
        "maintenance": False,
        "proxy_config": "",
        "holder": None,
        "journal": (),
        "releases": {},
        "containers": (),
        "proxy": None,
        "accessories_fingerprint": "",
        "accessories": {},
        "machine": machine(),
    }
    return State(**(values | changes))


def container(
    release_id: str, slot: str, service: str = "web", status: str = "running", *, identity: str = "id", number: int = 1
) -> Container:
    return Container(identity, slot, release_id, service, status, f"links-prod-{slot}-{service}-{number}", "Up")


def operation(identity: str = "op-1", **changes: Any) -> Operation:
    values: dict[str, Any] = {"id": identity, "kind": "deploy", "owner": "me@here", "release": "r2", "previous": "r1"}
    return Operation(**(values | changes))


def entry(phase: Phase, event: str, of: Operation) -> Entry:
    return Entry.model_validate({"at": 1, "phase": phase, "event": event, "operation": of})
