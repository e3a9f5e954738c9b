"""What the tables of portside.toml share: a strict frozen model, and the kinds of text that keys take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

FILE = "portside.toml"


def _port(address: str) -> str:
    """`address`, if its port is one; ValueError otherwise."""
    if not 1 <= int(address.rpartition(":")[2]) <= 65_535:
        raise ValueError("ports go from 1 to 65535")
    return address


def _own_address(address: str) -> str:
    """`address`, if its host is an IP address; ValueError otherwise."""
    ip_address(address.rpartition(":")[0].strip("[]"))
    return address


def _origin(url: str) -> str:
    """`url`, if it is one without a path; ValueError otherwise."""
    found = re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", url)
    if not found:
        raise ValueError("write a URL without a path, as https://links.example.com")
    return _port(url) if found[2] else url


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Listen = Annotated[
    str,
    StringConstraints(pattern=r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}$"),
    AfterValidator(_port),
    AfterValidator(_own_address),
]
Address = Annotated[str, StringConstraints(pattern=r"^([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$"), AfterValidator(_port)]
Origin = Annotated[str, AfterValidator(_origin)]
Mail = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
Retention = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,3}[hdwy]$")]
Percent = Annotated[float, Field(gt=0, lt=100)]
Repository = Annotated[str, StringConstraints(pattern=r"^([a-zA-Z0-9.-]+(:\d+)?/)?[a-z0-9][a-z0-9._/-]*$")]
Platform = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$")]
ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][\w./:@-]*$")]


# Where secrets may come from; portside/secrets/sources.py has what each is.
SECRET_SOURCES = ("aws", "azure", "bw", "bws", "env", "file", "gcp", "generated", "op", "sops", "vault")


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def destination(host: str) -> str:
    """`host`, if it is an SSH destination; ValueError otherwise."""
    if not re.fullmatch(r"([\w.-]+@)?[\w.-]+(:\d{1,5})?", host):
        raise ValueError(f"{host!r} is not an SSH destination like user@host or user@host:port")
    if int(host.partition(":")[2] or 22) > 65_535:
        raise ValueError(f"{host!r}: ports end at 65535")
    return host


def home(path: Path | None) -> Path | None:
    """`path` with its ~ replaced; ValueError where there is no such user."""
    try:
        return path.expanduser() if path else None
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def source_reference(name: str, reference: str) -> str:
    """`reference`, if it has the form `source:reference` with a source that there is; ValueError otherwise."""
    if not re.fullmatch(r"(?!https?:)[a-z0-9]+:.+", reference):
        raise ValueError(f"{name} needs `source:reference`, for instance `env:{name.upper()}`")
    source = reference.partition(":")[0]
    if source not in SECRET_SOURCES:
        raise ValueError(f"{name}: there is no secret source {source!r}; use one of: {', '.join(SECRET_SOURCES)}")
    return reference


def told_by(kind: str, given: set[str], takes: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse keys of another kind than `kind`, and the lack of those that it needs; ValueError naming them.

    `takes` has the keys of each kind besides those that all kinds take. Mail needs no password where the smarthost
    asks for none; everything else has its address or key as its secret.
    """
    for key in sorted(given & {key for keys in takes.values() for key in keys}):
        if key not in takes[kind]:
            raise ValueError(f"{key} is no key of kind {kind}")
    needed = {"to", "from", "smarthost"} if kind == "email" else {"secret"}
    if kind == "email" and given & {"secret", "username"}:
        needed |= {"secret", "username"}
    if needed - given:
        raise ValueError(f"kind {kind} also needs {', '.join(sorted(needed - given))}")
