"""What the tables of portside.toml share: a strict frozen model, and the kinds of text that keys take."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

FILE = "portside.toml"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Listen = Annotated[str, StringConstraints(pattern=r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}$")]
Address = Annotated[str, StringConstraints(pattern=r"^([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$")]
Retention = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}[hdwy]$")]
Percent = Annotated[float, Field(gt=0, lt=100)]
ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][\w./:@-]*$")]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def destination(host: str) -> str:
    """`host`, if it is an SSH destination; ValueError otherwise."""
    if not re.fullmatch(r"([\w.-]+@)?[\w.-]+(:\d{1,5})?", host):
        raise ValueError(f"{host!r} is not an SSH destination like user@host or user@host:port")
    return host


def source_reference(name: str, reference: str) -> str:
    """`reference`, if it has the form `source:reference`; ValueError otherwise."""
    if not re.fullmatch(r"[a-z0-9]+:.+", reference):
        raise ValueError(f"{name} needs `source:reference`, for instance `env:{name.upper()}`")
    return reference
