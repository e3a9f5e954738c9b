"""What a registry already has of an image, under the tag that is the image's own."""

from __future__ import annotations

import hashlib
import json

from portside.image.reference import parse_reference


async def pushed_before(target: str, image_id: str) -> str:
    """`registry/name@sha256:…` where `target` (`registry/name:tag`) is the image `image_id` there; else "".

    An index of images for several platforms counts as another image. Raises BuildError when the registry can't be
    asked.
    """
    from portside.image.registry_client import opened  # noqa: PLC0415 - only where a registry is asked is it loaded

    where = parse_reference(target)
    async with opened(where) as registry:
        content = await registry.tagged(where.tag)
        if content is None:
            return ""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        # An Engine calls an image by its configuration, or by its manifest.
        known = (json.loads(content).get("config", {}).get("digest"), digest)
    return f"{where.name}@{digest}" if image_id in known else ""
