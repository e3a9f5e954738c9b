"""What belongs to an image, kept beside it in its registry: OCI 1.1 referrers.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md says how a registry without that interface is
served: by an index of them all, under a tag made of the image's digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from portside.errors import BuildError
from portside.image.reference import Reference, parse_reference
from portside.image.registry_client import RegistryClient, opened

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
CREATED = "org.opencontainers.image.created"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Artifact:
    """One thing that is attached to an image, whose reference is `subject`."""

    subject: str
    digest: str
    annotations: Mapping[str, str]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    async def read(self, name: str) -> bytes:
        """The file called `name`. Raises BuildError when there is none, or it isn't what its digest says."""
        where = parse_reference(self.subject)
        async with opened(where, self.environ) as registry:
            manifest = json.loads(await registry.manifest(self.digest))
            for layer in manifest.get("layers", ()):
                if layer.get("annotations", {}).get(TITLE) == name:
                    return await registry.blob(layer["digest"])
        raise BuildError(f"what is attached to {self.subject} has no file {name}", where=where.registry)


async def attach(
    subject: str,
    *,
    artifact_type: str,
    files: Mapping[str, tuple[str, bytes]],
    annotations: Mapping[str, str] | None = None,
) -> str:
    """Attach `files` (names to media type and content) to the image `registry/name@sha256:…`; the artifact's digest.

    Raises BuildError when the registry can't be reached, refuses, or doesn't have the image.
    """
    where = _digested(subject)
    async with opened(where) as registry:
        image = await registry.descriptor(where.digest)
        noted = {CREATED: datetime.now(UTC).isoformat(timespec="seconds"), **(annotations or {})}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": await registry.put_blob(b"{}", EMPTY),
            "layers": [
                {**await registry.put_blob(content, media_type), "annotations": {TITLE: name}}
                for name, (media_type, content) in files.items()
            ],
            "subject": image,
            "annotations": noted,
        }
        body = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        known = await registry.put_manifest(digest, body, MANIFEST)
        if not known:
            described = {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": len(body),
                "artifactType": artifact_type,
                "annotations": noted,
            }
            await _list_by_tag(registry, where, described)
    return digest


async def attached(subject: str, artifact_type: str, environ: Mapping[str, str] = os.environ) -> list[Artifact]:
    """What is attached to the image `registry/name@sha256:…` under this type, newest first. Raises BuildError."""
    where = _digested(subject)
    async with opened(where, environ) as registry:
        listed = await registry.referrers(where.digest) or await registry.tagged(_tag(where)) or b"{}"
    found = [
        Artifact(subject, each["digest"], each.get("annotations") or {}, environ)
        for each in json.loads(listed).get("manifests", ())
        if each.get("artifactType") == artifact_type
    ]
    return sorted(found, key=lambda artifact: artifact.annotations.get(CREATED, ""), reverse=True)


async def _list_by_tag(registry: RegistryClient, where: Reference, described: Mapping[str, Any]) -> None:
    """Add one to the index of an image's referrers. Two at the same moment: the last one's index stays, as the
    specification has it."""
    listed = json.loads(await registry.tagged(_tag(where)) or b"{}").get("manifests", [])
    others = [each for each in listed if each["digest"] != described["digest"]]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, described]}
    await registry.put_manifest(_tag(where), json.dumps(index).encode(), INDEX)


def _tag(where: Reference) -> str:
    return where.digest.replace(":", "-")


def _digested(subject: str) -> Reference:
    where = parse_reference(subject)
    if not where.digest:
        raise BuildError("only an image that is named by its digest can have something attached", where=subject)
    return where
