"""What the journals of all hosts mean when a deployer has died."""

from __future__ import annotations

from portside.journal import Entry, Phase, line, parse_journal, unfinished
from tests.unit.builders import entry, operation

OP = operation()
OLD = operation("op-0", release="r1", previous=None)
ENDED = (entry("prepare", "begin", OLD), entry("retire", "end", OLD))


def test_nothing_is_left_when_every_host_has_ended() -> None:
    assert unfinished({"a": ENDED, "b": ()}, set()) is None
    assert unfinished({"a": (*ENDED, entry("start", "begin", OP), entry("undo", "end", OP))}, set()) is None


def test_without_a_commit_it_is_undone() -> None:
    found = unfinished({"a": (*ENDED, entry("switch", "end", OP)), "b": (*ENDED, entry("start", "end", OP))}, {"op-0"})
    assert found is not None
    assert not found.committed
    assert set(found.operations) == {"a", "b"}
    assert found.phase == "switch"


def test_one_committed_host_means_finish() -> None:
    journals = {"a": (entry("commit", "end", OP),), "b": (entry("bake", "end", OP),)}
    found = unfinished(journals, {"op-1"})
    assert found is not None
    assert found.committed


def test_hosts_that_have_ended_are_left_alone() -> None:
    found = unfinished({"a": (entry("retire", "end", OP),), "b": (entry("commit", "end", OP),)}, {"op-1"})
    assert found is not None
    assert set(found.operations) == {"b"}


def test_a_maintenance_page_in_between_ends_nothing() -> None:
    page = entry("maintenance", "end", operation("op-2", kind="maintenance"))
    found = unfinished({"a": (entry("commit", "end", OP), page)}, {"op-1"})
    assert found is not None
    assert found.any.id == "op-1"
    assert unfinished({"a": (*ENDED, page)}, set()) is None


def test_a_node_that_comes_back_to_a_swarm_undoes_nothing_that_the_others_have_left_behind() -> None:
    left = operation(swarm="acts")
    journals = {"a": (entry("bake", "begin", left),), "b": (entry("retire", "end", operation("op-2", swarm="acts")),)}
    assert unfinished(journals, {"op-2"}) is None
    found = unfinished(journals, {"op-0"})
    assert found is not None and not found.committed


def test_a_host_that_comes_back_after_the_others_went_on_without_it_ends_what_it_had_begun_alone() -> None:
    others = (entry("undo", "end", OP), entry("retire", "end", operation("op-2")))
    undone = unfinished({"a": (entry("switch", "begin", OP),), "b": others}, {"op-0", "op-2"})
    assert undone is not None
    assert (set(undone.operations), undone.committed) == ({"a"}, False)
    finished = unfinished({"a": (entry("commit", "end", OP),), "b": others}, {"op-1", "op-2"})
    assert finished is not None
    assert (set(finished.operations), finished.committed) == ({"a"}, True)


def test_a_line_cut_short_is_passed_over() -> None:
    whole = line(OP, "start", "begin").replace("{", '{"at":5,', 1)
    assert [found.phase for found in parse_journal([whole, whole[:40], ""])] == ["start"]


def test_a_line_survives_the_way_through_a_host() -> None:
    for phase in ("prepare", "start", "undo"):
        written: Phase = phase  # type: ignore[assignment]
        text = line(OP, written, "end", 'because "it" said\nso').replace("{", '{"at":5,', 1)
        assert "\n" not in text
        (found,) = parse_journal([text])
        assert found == Entry(at=5, phase=written, event="end", operation=OP, reason='because "it" said\nso')
