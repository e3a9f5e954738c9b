"""Build the service's image: the same tree gives the same image id."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from portside.command import run_command
from portside.errors import BuildError
from portside.image.bases import default_ca_bundle, ensure_image, local_reference
from portside.image.buildx import QUESTION_SECONDS, Build
from portside.image.buildx import build as run_build
from portside.image.reference import content_tag

Say = Callable[[str], None]

_INSPECT = "[{{json .Id}},{{json .Size}},{{json .RootFS.Layers}},{{json .RepoDigests}},{{json .Architecture}}]"


@dataclass(frozen=True)
class BuildSpec:
    """What to build from. `builder` and `runtime` are base images; `build_args` are visible to anyone."""

    context: Path
    dockerfile: Path
    name: str
    builder: str
    runtime: str
    ca_bundle: Path | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None


@dataclass(frozen=True)
class BuiltImage:
    """An image in the local Engine.

    `id` is the digest of its configuration (of its manifest, where the Engine keeps images in containerd).
    `size` is in bytes, unpacked. `layers` are diff ids, bottom first. `manifest_digest` is known once pushed.
    """

    reference: str
    id: str
    size: int
    layers: tuple[str, ...]
    manifest_digest: str = ""
    architecture: str = ""


@dataclass(frozen=True)
class Source:
    """What git says of the tree. `created` is the time of the commit, in seconds since 1970."""

    revision: str
    created: int
    url: str


async def build_image(spec: BuildSpec, *, revision: str, version: str, say: Say) -> BuiltImage:
    """Build `spec` into the local Engine and name it after its own id.

    The label `created` is the time of the commit, not of the build, and files in layers have fixed times:
    building an unchanged tree again gives the same id. Base images that can't be pulled are assembled.
    Raises BuildError with the step that failed and its last lines.
    """
    started = time.monotonic()
    ca_bundle = default_ca_bundle(spec.ca_bundle, os.environ)
    bases = (spec.builder, spec.runtime)
    await asyncio.gather(*(ensure_image(base, say=say, ca_bundle=ca_bundle) for base in bases))
    builder, runtime = await asyncio.gather(*(local_reference(base) for base in bases))
    source = await read_source(spec.context)
    local = replace(spec, builder=builder, runtime=runtime, ca_bundle=ca_bundle)
    image_id = await run_build(plan_build(local, source, revision=revision, version=version))
    reference = f"{spec.name}:{content_tag(image_id)}"
    (await run_command(["docker", "tag", image_id, reference], timeout=QUESTION_SECONDS)).check()
    image = await inspect_image(reference)
    say(f"built {reference} in {time.monotonic() - started:.1f} s, {image.size / 1e6:.1f} MB")
    return image


def plan_build(spec: BuildSpec, source: Source, *, revision: str, version: str) -> Build:
    """The invocation of the builder for `spec`: labels come after everything else, so they cost no cache."""
    labels = {
        "org.opencontainers.image.title": spec.name,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.created": datetime.fromtimestamp(source.created, UTC).isoformat(),
    }
    if source.url:
        labels["org.opencontainers.image.source"] = source.url
    return Build(
        context=spec.context,
        dockerfile=spec.dockerfile,
        arguments={
            "BUILDER": spec.builder,
            "RUNTIME": spec.runtime,
            # BuildKit writes this time, and not now, into the configuration and the history of the image.
            "SOURCE_DATE_EPOCH": str(source.created),
            **spec.build_args,
        },
        labels=labels,
        ca_bundle=spec.ca_bundle,
        platform=spec.platform,
    )


async def read_source(context: Path) -> Source:
    """Revision (`<sha>-dirty` with uncommitted changes), time and origin of the tree at `context`.

    Without git they are as unknown as those of a tree that is no repository.
    """
    unknown = Source("unknown", 0, "")
    if shutil.which("git") is None:
        return unknown

    async def git(*argv: str) -> str:
        result = await run_command(["git", "-C", str(context), *argv], timeout=QUESTION_SECONDS)
        return result.text if result.exit_code == 0 else ""

    head, changes, url = await asyncio.gather(
        # Where a person has log.showSignature, a signed commit would be told with its signature.
        git("show", "--no-patch", "--no-show-signature", "--format=%H %ct", "HEAD"),
        git("status", "--porcelain", "--untracked-files=normal"),
        git("config", "--get", "remote.origin.url"),
    )
    if not head:
        return unknown
    sha, seconds = head.split()
    return Source(f"{sha}-dirty" if changes else sha, int(seconds), without_credentials(url))


def without_credentials(url: str) -> str:
    """A remote's address as it may be shown: https://user:token@host/x → https://host/x."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


async def inspect_image(reference: str) -> BuiltImage:
    """The image that the local Engine has under `reference`. Raises BuildError when it has none."""
    argv = ["docker", "image", "inspect", "--format", _INSPECT, reference]
    result = await run_command(argv, timeout=QUESTION_SECONDS)
    if result.exit_code != 0:
        raise BuildError(
            f"the image {reference} isn't in the local Engine",
            where="this machine",
            why=result.stderr.decode(errors="replace").strip(),
            remedy="Type `invoke build`.",
        )
    image_id, size, layers, digests, architecture = json.loads(result.text)
    digest = digests[0].rpartition("@")[2] if digests else ""
    return BuiltImage(reference, image_id, size, tuple(layers or ()), digest, architecture)
