"""The images that builds leave behind on this machine: the newest stay, for rollbacks that send them again."""

from __future__ import annotations

import json

from portside.command import run_command
from portside.image.buildx import QUESTION_SECONDS

KEPT = 20


async def prune_tags(name: str, *, keep: int = KEPT) -> tuple[str, ...]:
    """Remove all but the `keep` images `name:sha-…` that were tagged last; what was removed.

    An image that a container uses stays. Layers that other images share stay with those.
    """
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={name}:sha-*"]
    found = (await run_command(listing, timeout=QUESTION_SECONDS)).check().text.split()
    if len(found) <= keep:
        return ()
    question = ["docker", "image", "inspect", "--format", "[{{json .Metadata.LastTagTime}},{{json .RepoTags}}]", *found]
    answer = await run_command(question, timeout=QUESTION_SECONDS)
    tagged = sorted((json.loads(line) for line in set(answer.text.splitlines())), reverse=True)
    old = [tag for _, tags in tagged[keep:] for tag in tags if tag.startswith(f"{name}:sha-")]
    removed = [await run_command(["docker", "image", "rm", tag], timeout=QUESTION_SECONDS) for tag in old]
    return tuple(tag for tag, result in zip(old, removed, strict=True) if result.exit_code == 0)
