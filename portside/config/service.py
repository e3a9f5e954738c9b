"""[service], [images], [build]: what is shipped, and what it is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from portside.config.base import ImageReference, Model, Name, Seconds


class Service(Model):
    """What is shipped. `port` and `readiness` are where the web service answers inside its container."""

    name: Name
    compose: Path = Path("compose/app.yaml")
    accessories: Path | None = None
    web: Name = "web"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    readiness: Annotated[str, StringConstraints(pattern=r"^/[\w./-]*$")] = "/readiness"
    private_paths: tuple[str, ...] = ("/metrics",)
    before_switch: tuple[str, ...] = ()
    before_switch_deadline: Seconds = 300


class Images(Model):
    builder: ImageReference = "python:3.13-slim-trixie"
    runtime: ImageReference = "gcr.io/distroless/python3-debian13:nonroot"
    proxy: ImageReference = "caddy:2.11.7"


class Build(Model):
    context: Path = Path()
    dockerfile: Path = Path("Dockerfile")
    ca_bundle: Path | None = None
    args: dict[str, str] = {}
