"""Every world that can be reached, each looked at once, breadth first: what is found first is the shortest story."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from tests.model.protocol import World

Steps = Callable[[World], Iterator[tuple[str, World]]]
Promise = Callable[[World, bool], str]


class BrokenPromiseError(AssertionError):
    """A world in which a promise doesn't hold, with the shortest way there."""


def explore(beginning: World, steps: Steps, promise: Promise, *, limit: int) -> int:
    """Look at every world; how many there are.

    `promise` is given a world and whether nothing more can happen in it, and says what is wrong, or "".
    Raises BrokenPromiseError with the way there, or when there are more than `limit` worlds to look at.
    """
    came: dict[World, tuple[World, str] | None] = {beginning: None}
    ahead = deque([beginning])
    while ahead:
        world = ahead.popleft()
        last = True
        for name, reached in steps(world):
            last = False
            if reached not in came:
                came[reached] = (world, name)
                ahead.append(reached)
        wrong = promise(world, last)
        if wrong:
            raise BrokenPromiseError("\n".join([wrong, *_way(world, came)]))
        if len(came) > limit:
            raise BrokenPromiseError(f"more than {limit} worlds")
    return len(came)


def _way(world: World, came: dict[World, tuple[World, str] | None]) -> list[str]:
    names = []
    while (step := came[world]) is not None:
        world, name = step
        names.append(name)
    return names[::-1]
