"""The release protocol, every story of it: deployers that die anywhere, leases that end anywhere, two at once."""

from __future__ import annotations

from functools import partial

import pytest

from tests.model.explore import BrokenPromiseError, explore
from tests.model.protocol import Deployer, Rules, beginning, broken, steps

DIES = Deployer(deploys=True, may_die=True)
LIVES = Deployer(deploys=True, may_die=False)
# `invoke status`, when all others are over.
LOOKS = Deployer(deploys=False, may_die=False)


@pytest.mark.parametrize(
    ("hosts", "deployers"),
    [
        pytest.param(2, (LIVES,), id="one, two hosts"),
        pytest.param(2, (DIES, LOOKS), id="one that dies, two hosts"),
        pytest.param(1, (DIES, DIES, LOOKS), id="two that die, one host"),
        pytest.param(
            2, (DIES, LIVES, LOOKS), id="one that dies and one that doesn't, two hosts", marks=pytest.mark.slow
        ),
    ],
)
def test_no_story_ends_with_half_a_release(hosts: int, deployers: tuple[Deployer, ...]) -> None:
    looked_at = explore(beginning(hosts, *deployers), steps, broken, limit=1_000_000)
    assert looked_at > 100


def test_without_waiting_a_commit_under_way_would_be_undone() -> None:
    hasty = partial(steps, rules=Rules(reads_wait=False))
    with pytest.raises(BrokenPromiseError, match="has lost what it committed"):
        explore(beginning(1, DIES, LOOKS), hasty, broken, limit=1_000_000)


def test_without_the_guard_a_late_switch_would_come_after_the_undo() -> None:
    unguarded = partial(steps, rules=Rules(overtaken_refused=False))
    with pytest.raises(BrokenPromiseError, match="serves what isn't committed"):
        explore(beginning(2, LIVES), unguarded, broken, limit=1_000_000)


def test_what_is_broken_is_told_from_its_beginning() -> None:
    hasty = partial(steps, rules=Rules(reads_wait=False))
    with pytest.raises(BrokenPromiseError) as error:
        explore(beginning(1, DIES, LOOKS), hasty, broken, limit=1_000_000)
    story = str(error.value).splitlines()
    assert story[1] == "0 locks 0"
    assert "0 dies" in story
