"""What a release is: an immutable value with an id, and the files that hold it on a host."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from portside.image.reference import content_tag

Slot = Literal["blue", "green"]
# What the names of a release's configs begin with, among its files.
CONFIG = "config-"


class Image(BaseModel):
    """The image of a release: how a host names it, its id in the Engine that built it, its size in bytes.

    A host may know it by another id: the classic store uses the config's digest, the containerd store the manifest's.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    id: str = ""
    size: int = 0
    architecture: str = ""

    @property
    def named_by_content(self) -> bool:
        """Whether its reference can only ever mean this image: it is the digest, or was made from the id."""
        return "@sha256:" in self.reference or (bool(self.id) and self.reference.endswith(f":{content_tag(self.id)}"))


class Role(BaseModel):
    """One service of the release. `stop_first`: the old release's stops before this one starts.

    `grace`: how many seconds its containers may take to stop.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    replicas: int
    stop_first: bool
    grace: float = 10


class Release(BaseModel):
    """The record of a release, as `release.json` holds it on every host. It has no secret value in it."""

    model_config = ConfigDict(frozen=True)

    id: str
    service: str
    env: str
    image: Image
    roles: tuple[Role, ...]
    web: str
    port: int
    readiness: str
    env_names: tuple[str, ...]
    env_digest: str
    # Empty in a record of before names had digests of their own.
    env_digests: Mapping[str, str] = {}
    content: str
    commit: str
    created: datetime
    created_by: str
    previous: str | None
    compose: str

    @property
    def start_first(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.roles if not role.stop_first)

    @property
    def stop_first(self) -> tuple[str, ...]:
        """Those that have containers at all: of the others, nothing has to be handed over."""
        return tuple(role.name for role in self.roles if role.stop_first and role.replicas)

    @property
    def grace(self) -> float:
        """How many seconds its containers may take to stop, all at once."""
        return max(role.grace for role in self.roles)

    @property
    def replicas(self) -> int:
        """How many containers of the web service a host runs."""
        return next(role.replicas for role in self.roles if role.name == self.web)


class Current(BaseModel):
    """`current.json`: the committed release of an environment on a host."""

    model_config = ConfigDict(frozen=True)

    release: str
    slot: Slot
    previous: str | None = None
    previous_slot: Slot | None = None
    operation: str
    committed: datetime


def other(slot: Slot | None) -> Slot:
    """The slot that `slot` is not. The first release of a host goes to blue."""
    return "green" if slot == "blue" else "blue"


def content_hash(*, image: str, compose: str, env_digest: str) -> str:
    """Hash over all that makes two releases the same, whenever and by whomever they were made."""
    whole = json.dumps({"image": image, "compose": compose, "env": env_digest}, sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def env_digest(values: Mapping[str, str], *, site: str) -> str:
    """A fingerprint of the environment's values, for "did it change?".

    It is stored where people without access to the values can read it, so it is scrypt (RFC 7914, n=2^12, r=8,
    about 10 ms), which makes guessing a weak password from it expensive.
    """
    blob = json.dumps(dict(sorted(values.items()))).encode()
    return hashlib.scrypt(blob, salt=site.encode(), n=2**12, r=8, p=1, dklen=32).hex()


def value_digests(values: Mapping[str, str], plain: Collection[str], *, site: str) -> Mapping[str, str]:
    """A fingerprint of each value by its name, for "which one changed?".

    A name of `plain` has no secret in it, so SHA-256 does. Any other is scrypt like `env_digest`, of its own: a
    key that is stretched once and then used for all would cost whoever guesses 10 ms for everything.
    """
    return {
        name: hashlib.sha256(f"{site}\0{name}\0{value}".encode()).hexdigest()[:32]
        if name in plain
        else hashlib.scrypt(value.encode(), salt=f"{site}\0{name}".encode(), n=2**12, r=8, p=1, dklen=16).hex()
        for name, value in sorted(values.items())
    }


def release_id(created: datetime, content: str) -> str:
    """An id that sorts by time and tells equal content apart at a glance: 20261123-154501-1a2b3c."""
    return f"{created.astimezone(UTC):%Y%m%d-%H%M%S}-{content[:6]}"


def env_file(values: Mapping[str, str]) -> str:
    """The values as a Compose env file: double-quoted, so that quotes, dollars and newlines survive.

    Compose's parser expands variables and escapes inside double quotes (compose-go/dotenv), hence the escapes.
    """
    return "".join(f'{name}="{_escaped(value)}"\n' for name, value in sorted(values.items()))


def _escaped(value: str) -> str:
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(character, escape)
    return value


def archive(files: Mapping[str, str]) -> bytes:
    """A tar of `files` (name to text), each readable by its owner only.

    But for configs, which are no secret: a container has them as whoever it runs as. The folders above are closed.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            blob = text.encode()
            info.size, info.mode = len(blob), 0o644 if name.startswith(CONFIG) else 0o600
            tar.addfile(info, io.BytesIO(blob))
    return buffer.getvalue()


def release_files(release: Release, values: Mapping[str, str]) -> dict[str, str]:
    """The files of a release's directory. `env` alone holds secrets."""
    return {
        "release.json": release.model_dump_json() + "\n",
        "compose.yaml": release.compose,
        "env": env_file(values),
    }
