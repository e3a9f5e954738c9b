"""Which layers of an image a host lacks. Pure.

A layer is the difference to what lies below it, so an Engine stores it under its chain id: the digest of all
layers up to it (https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid). The same
diff on another base is another layer, and has to be sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerPlan:
    """Diff ids, bottom first: those to send, and those that are there with all that lies below them."""

    send: tuple[str, ...]
    skip: tuple[str, ...]


def chain_ids(layers: Sequence[str]) -> tuple[str, ...]:
    """The chain id of each layer, from diff ids, bottom first."""
    chains: list[str] = []
    for diff in layers:
        if chains:
            digest = hashlib.sha256(f"{chains[-1]} {diff}".encode()).hexdigest()
            chains.append(f"sha256:{digest}")
        else:
            chains.append(diff)
    return tuple(chains)


def plan_layers(layers: Sequence[str], present: Iterable[str]) -> LayerPlan:
    """What to send of `layers` to a host that has the chain ids `present`.

    A diff that occurs twice, as the empty one often does, is sent when either place lacks it.
    """
    there = frozenset(present)
    missing = {diff for diff, chain in zip(layers, chain_ids(layers), strict=True) if chain not in there}
    unique = tuple(dict.fromkeys(layers))
    return LayerPlan(
        send=tuple(diff for diff in unique if diff in missing),
        skip=tuple(diff for diff in unique if diff not in missing),
    )
