"""What `status` says is the one thing to do next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from portside import steps
from portside.errors import ConfigError, HostError
from portside.facts import Proxy
from portside.fleet import read_states
from portside.journal import Entry, Phase
from portside.lock import Claim, locked
from portside.recovery import Recovered
from portside.status import goes_on, history, history_command, next_step, status_command
from tests.unit.builders import container, current, entry, environment, operation, release, state
from tests.unit.standing_host import StandingHost

RUNS = Proxy(running=True, fingerprint="f", image="caddy")
RELEASE, NEXT = "20261123-154501-aaaaaa", "20261123-154502-aaaaaa"


WELL = state(current=current(RELEASE), proxy=RUNS, containers=(container(RELEASE, "blue"),))


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    assert next_step({"a": WELL, "b": WELL}, {}, Recovered(), "prod") == ""


def test_what_was_undone_may_be_released_again() -> None:
    assert next_step({"a": WELL}, {}, Recovered("it was undone", undone=True), "prod") == "invoke deploy --env prod"


def test_what_was_finished_needs_nothing() -> None:
    assert next_step({"a": WELL}, {}, Recovered("it was finished"), "prod") == ""


def test_what_cannot_serve_alone_is_rolled_back() -> None:
    assert next_step({"a": WELL}, {}, Recovered("committed", unfit=("a",)), "prod") == "invoke rollback --env prod"


def test_a_host_that_is_gone_comes_before_everything_else() -> None:
    said = next_step({"a": WELL}, {"b": HostError("gone")}, Recovered(), "prod")
    assert said == "When b can be reached again: invoke status --env prod"


def test_nobody_is_told_to_break_into_a_release_that_is_under_way() -> None:
    releasing = state(current=current(RELEASE), proxy=RUNS, journal=(entry("start", "begin", operation()),))
    assert next_step({"a": releasing}, {}, Recovered(), "prod").endswith("In a moment: invoke status --env prod")


def test_what_does_not_run_is_for_the_doctor() -> None:
    silent = state(current=current(RELEASE), containers=(container(RELEASE, "blue"),))
    assert next_step({"a": silent}, {}, Recovered(), "prod") == "A proxy doesn't run: invoke doctor --env prod"
    dead = state(current=current(RELEASE), proxy=RUNS, containers=(container(RELEASE, "blue", status="exited"),))
    assert "Containers of the release don't run" in next_step({"a": dead}, {}, Recovered(), "prod")


def test_what_is_missing_is_for_the_doctor_too() -> None:
    two_of = replace(WELL, releases={RELEASE: release(RELEASE)})
    said = next_step({"a": two_of}, {}, Recovered(), "prod")
    assert said == "Containers of the release don't run: invoke doctor --env prod", "one web container, and no worker"
    both = (container(RELEASE, "blue"), container(RELEASE, "blue", number=2), container(RELEASE, "blue", "worker"))
    assert next_step({"a": replace(two_of, containers=both)}, {}, Recovered(), "prod") == ""


@pytest.mark.parametrize("accessories", [{"postgres": "exited"}, {}])
def test_an_accessory_that_ran_and_does_not_is_for_the_doctor(accessories: dict[str, str]) -> None:
    down = replace(WELL, accessories_fingerprint="f", accessories=accessories)
    said = next_step({"a": WELL, "b": down}, {}, Recovered(), "prod", accessories=["b"])
    assert said == "An accessory doesn't run: invoke doctor --env prod"
    up = replace(WELL, accessories_fingerprint="f", accessories={"postgres": "running"})
    assert next_step({"a": up}, {}, Recovered(), "prod", accessories=["a"]) == ""


def test_accessories_that_moved_to_another_host_are_not_missed_where_they_were() -> None:
    left = replace(WELL, accessories_fingerprint="f", accessories={})
    assert next_step({"a": WELL, "b": left}, {}, Recovered(), "prod", accessories=["a"]) == ""


def test_what_serves_without_a_record_is_for_the_doctor() -> None:
    said = next_step({"a": replace(WELL, current=None, route="blue")}, {}, Recovered(), "prod")
    assert said == "What serves on a host isn't on record: invoke doctor --env prod"
    assert next_step({"a": state()}, {}, Recovered(), "prod") == "", "nothing was released there yet"


def test_hosts_that_serve_different_releases_are_for_the_doctor() -> None:
    other = state(current=current(NEXT), proxy=RUNS, containers=(container(NEXT, "blue"),))
    said = next_step({"a": WELL, "b": other}, {}, Recovered(), "prod")
    assert said == "The hosts serve different releases: invoke doctor --env prod"


def test_what_the_same_release_left_in_the_other_slot_is_no_part_of_what_serves() -> None:
    left = container(RELEASE, "green", status="exited")
    assert next_step({"a": replace(WELL, containers=(*WELL.containers, left))}, {}, Recovered(), "prod") == ""


def test_a_node_of_a_swarm_may_have_no_container_or_what_is_left_of_one() -> None:
    mixed = (container(RELEASE, "blue"), container(RELEASE, "blue", status="exited"))
    left, none = (state(current=current(RELEASE), proxy=RUNS, containers=which) for which in (mixed, ()))
    assert next_step({"a": left, "b": none}, {}, Recovered(), "prod", swarm=True) == ""
    said = next_step({"b": none}, {}, Recovered(), "prod", swarm=True)
    assert said == "Containers of the release don't run: invoke doctor --env prod"


SWARM = environment(orchestrator="swarm", registry="registry.example.com/links", hosts=["a", "b", "c"])


@pytest.mark.parametrize(
    ("lost", "ends"),
    [
        ({}, True),
        ({"c": HostError("gone")}, True),
        ({"b": HostError("gone"), "c": HostError("gone")}, False),
        ({"c": ConfigError("its key is none")}, False),
    ],
)
def test_what_a_dead_deployer_left_is_ended_in_a_swarm_while_most_hosts_are_there(
    lost: dict[str, BaseException], ends: bool
) -> None:
    states = {host: WELL for host in "abc" if host not in lost}
    assert goes_on(SWARM, states, lost) is ends
    assert goes_on(environment(), states, lost) is not bool(lost), "hosts that don't know each other wait for all"


def test_what_was_undone_without_a_node_is_released_again_before_that_one_is_waited_for() -> None:
    undone, lost = Recovered("it was undone", undone=True), {"b": HostError("gone")}
    assert next_step({"a": WELL}, lost, undone, "prod", swarm=True) == "invoke deploy --env prod"


def ended(identity: str, at: int, phase: Phase = "commit", reason: str = "") -> Entry:
    return Entry(at=at, phase=phase, event="end", operation=operation(identity), reason=reason)


def test_the_history_is_of_all_hosts_and_says_which_had_a_part_in_what() -> None:
    everywhere, there, here = ended("op-1", 10), ended("op-2", 20), ended("op-3", 30)
    later = ended("op-1", 11)
    told = history({"a": state(journal=(everywhere, here)), "b": state(journal=(later, there))})
    assert told == [(here, ["a"]), (there, ["b"]), (everywhere, ["a", "b"])]


def test_what_is_committed_on_one_host_is_no_undone_release_in_the_history() -> None:
    lost, committed = ended("op-1", 10, "undo", "gone"), ended("op-1", 12)
    assert history({"a": state(journal=(lost,)), "b": state(journal=(committed,))}) == [(committed, ["a", "b"])]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandingHost:
    """links-prod on this machine, with nothing released."""
    for name, value in (("HOME", str(tmp_path)), ("PATH", f"{tmp_path}/bin:/usr/bin:/bin"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portside.toml").write_text('[service]\nname = "links"\n\n[env.prod]\nhosts = []\n')
    return StandingHost(tmp_path)


async def test_half_a_line_in_the_journal_hides_nothing_and_ends_with_the_next_lease(checkout: StandingHost) -> None:
    """A full disk and a power cut leave one."""
    checkout.serves(release(RELEASE))
    journal = checkout.site / "journal.jsonl"
    whole = entry("commit", "end", operation()).model_dump_json()
    journal.write_text(f'{whole}\n{{"at": 2, "pha')
    (read,) = (await read_states([checkout.host], "links-prod", full=False)).values()
    assert (list(read.releases), len(read.journal)) == ([RELEASE], 1)
    (checkout.site / "lock/holder.json").unlink()
    claim = Claim("prod", "me", "status", 60)
    async with locked([checkout.host], "links-prod", claim, full=False) as leases:
        (lease,) = leases.values()
        assert lease.state
        assert list(lease.state.releases) == [RELEASE]
    assert journal.read_text() == f'{whole}\n{{"at": 2, "pha\n'


def test_a_host_whose_engine_does_not_answer_is_shown_with_what_to_type(
    checkout: StandingHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bin/docker").write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    with pytest.raises(SystemExit) as ended:
        status_command("prod", machine=False)
    said = capsys.readouterr().out
    assert ended.value.code == 4
    assert "Cannot connect to the Docker daemon" in said
    assert "→ See what is wrong on localhost: invoke doctor --env prod" in said


def test_the_lock_is_told_with_its_message(checkout: StandingHost, capsys: pytest.CaptureFixture[str]) -> None:
    holder = {"owner": "bob", "operation": "invoke lock", "message": "database upgrade", "since": 1}
    (checkout.site / "lock/holder.json").write_text(f"{json.dumps(holder)}\n")
    status_command("prod", machine=False)
    assert "locked by bob: invoke lock – database upgrade" in capsys.readouterr().out


def test_a_release_that_status_ends_leaves_no_lock_to_tell_of(
    checkout: StandingHost, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout.site / "lock/holder.json").unlink()
    begun = entry("prepare", "begin", operation(release=RELEASE))
    (checkout.site / "journal.jsonl").write_text(f"{begun.model_dump_json()}\n")
    status_command("prod", machine=False)
    said = capsys.readouterr()
    assert "was undone" in said.out + said.err
    assert "locked by" not in said.out


@pytest.mark.parametrize("machine", [False, True])
def test_the_history_knows_the_commit_of_a_release_that_was_pruned_and_whether_it_was_a_clean_one(
    checkout: StandingHost, capsys: pytest.CaptureFixture[str], machine: bool
) -> None:
    pruned = release(commit=f"{'c0ffee' * 6}c0ff-dirty")
    begun = steps.operation_for(state(), pruned, kind="deploy", identity="op-1", owner="me", fresh=True)
    (checkout.site / "journal.jsonl").write_text(entry("commit", "end", begun).model_dump_json() + "\n")
    history_command("prod", machine=machine)
    assert (pruned.commit if machine else "c0ffeec0ffee-dirty\n") in capsys.readouterr().out
