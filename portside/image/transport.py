"""Send an image to a host over its own connection, without a registry: what the host lacks, and no more.

An Engine that loads an archive looks up each layer by its chain id first, and never opens the file of one
that it has (moby, image/tarexport/load.go). So the files of those layers are left out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from portside.command import Result, tail
from portside.errors import BuildError
from portside.host.base import Host
from portside.image.archive import Archive, Piece, archive_image
from portside.image.build import BuiltImage, inspect_image
from portside.image.layers import LayerPlan, chain_ids, plan_layers

CACHE = Path(".portside/cache")
QUESTION_SECONDS = 30.0
LOAD_SECONDS = 120.0
# 1 Mbit/s: slower than this is taken for a connection that hangs.
SLOWEST_BYTES_PER_SECOND = 125_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sent:
    """What went over the wire: bytes as sent (compressed), layers sent, layers the host had."""

    bytes: int
    layers: int
    skipped: int


async def present_chains(host: Host) -> frozenset[str]:
    """The chain ids of all layers that the host's Engine has."""
    listed = await host.run(["docker", "image", "ls", "--all", "--quiet", "--no-trunc"], timeout=QUESTION_SECONDS)
    listed.check("the images of the host could not be listed")
    ids = sorted(set(listed.text.split()))
    if not ids:
        return frozenset()
    question = ["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", *ids]
    # An image that is removed meanwhile makes the command fail, and the others are told all the same.
    answer = await host.run(question, timeout=QUESTION_SECONDS)
    return known_chains(answer.text)


def known_chains(text: str) -> frozenset[str]:
    """The chain ids of all layers, from a JSON list of diff ids per line. A line that is none tells of no layer."""
    chains: set[str] = set()
    for line in filter(None, text.split("\n")):
        try:
            layers = json.loads(line) or []
        except (ValueError, RecursionError):
            continue
        if isinstance(layers, list):
            chains.update(chain_ids([str(layer) for layer in layers]))
    return frozenset(chains)


async def send_image(
    host: Host,
    image: BuiltImage | str,
    *,
    present_layers: frozenset[str],
    say: Say,
    cache: Path = CACHE,
    timeout: float | None = None,
) -> Sent:
    """Make sure the host has `image`, sending only layers whose chain id isn't in `present_layers`.

    `cache` keeps what was saved and compressed, for the other hosts and the next release. `timeout` in
    seconds bounds the transfer; without it, 125 kB/s is the slowest that is waited for.
    Raises BuildError when the host ends up without the image, HostError when the connection fails.
    """
    wanted = await inspect_image(image) if isinstance(image, str) else image
    plan = plan_layers(wanted.layers, present_layers)
    found = await image_id(host, wanted.reference) if not plan.send else ""
    if found == wanted.id:
        return Sent(0, 0, len(plan.skip))
    archive = await archive_image(wanted.reference, wanted.id, wanted.layers, cache)
    if found in archive.ids:
        return Sent(0, 0, len(plan.skip))
    pieces = archive.chosen(plan.send)
    loaded = await _load(host, archive, pieces, timeout)
    sent = _size(pieces)
    if loaded.exit_code != 0 and plan.skip:
        # The host's layers changed since it was asked, or its Engine keeps images in another way.
        say(f"{host.name}: a part of {wanted.reference} was refused, sending all of it")
        plan = LayerPlan(send=(*plan.send, *plan.skip), skip=())
        pieces = archive.pieces
        loaded = await _load(host, archive, pieces, timeout)
        sent += _size(pieces)
    if loaded.exit_code != 0:
        raise BuildError(
            f"the host's Engine refused the image {wanted.reference}",
            where=host.name,
            why=tail(loaded.stderr or loaded.stdout),
            remedy="See `docker info` and the free disk space there.",
        )
    await _verify(host, wanted, archive)
    result = Sent(sent, len(plan.send), len(plan.skip))
    say(f"{host.name}: {wanted.reference}, {sent / 1e6:.2f} MB sent, {_layers(result)}")
    return result


async def _load(host: Host, archive: Archive, pieces: Collection[Piece], timeout: float | None) -> Result:
    patience = timeout or LOAD_SECONDS + _size(pieces) / SLOWEST_BYTES_PER_SECOND
    return await host.run(["docker", "load", "--quiet"], stdin=_chunks(archive, pieces), timeout=patience)


async def _chunks(archive: Archive, pieces: Collection[Piece]) -> AsyncIterator[bytes]:
    for chunk in archive.stream(pieces):
        yield chunk
        await asyncio.sleep(0)


async def _verify(host: Host, wanted: BuiltImage, archive: Archive) -> None:
    found = await image_id(host, wanted.reference)
    if found not in archive.ids:
        raise BuildError(
            f"the host has another image under the name {wanted.reference}",
            where=host.name,
            why=f"it has {found or 'none'}; expected {' or '.join(archive.ids)}",
            remedy="Try again; `docker image rm` the image there if it stays so.",
        )


async def image_id(host: Host, reference: str) -> str:
    """The id of the image that the host has under `reference`; empty when it has none."""
    question = ["docker", "image", "inspect", "--format", "{{.Id}}", reference]
    answer = await host.run(question, timeout=QUESTION_SECONDS)
    if answer.exit_code != 0 and b"no such image" in answer.stderr.lower():
        return ""
    return answer.check("the host's Engine doesn't say which images it has").text


def _size(pieces: Collection[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def _layers(sent: Sent) -> str:
    return f"{sent.layers} layer{'' if sent.layers == 1 else 's'}, {sent.skipped} already there"
