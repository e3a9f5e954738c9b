"""The nodes of an environment as their Swarm sees them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portside.errors import HostError, PreflightError
from portside.swarm.nodes import Node, acting, check_nodes, elsewhere, parse_node, problems

LISTED = "n1 Ready Active one\nn2 Ready Active two\nn3 Down Active three\nn4 Ready Active four\n"
MANAGER = parse_node(f"@@node\nactive true false n1\n@@nodes\n{LISTED}", "one")
WORKER = parse_node("@@node\nactive false false n2\n@@nodes\nError response from daemon: not a manager\n", "two")


def test_a_manager_names_all_members_and_a_worker_none() -> None:
    assert MANAGER.manages
    assert [member.id for member in MANAGER.members] == ["n1", "n2", "n3", "n4"]
    assert [member.id for member in MANAGER.members if not member.ready] == ["n3"]
    assert (WORKER.manages, WORKER.members, WORKER.said) == (False, (), "")


def test_a_host_without_an_engine_is_an_error_with_its_words() -> None:
    with pytest.raises(HostError) as caught:
        parse_node("Cannot connect to the Docker daemon", "one")
    assert "Cannot connect" in str(caught.value)


def test_a_swarm_of_a_manager_and_a_worker_is_fit() -> None:
    assert problems({"one": MANAGER, "two": WORKER}) == []
    assert acting({"two": WORKER, "one": MANAGER}) == "one"


def test_every_host_that_is_no_node_is_named_at_once() -> None:
    single = parse_node("@@node\ninactive false false \n@@nodes\nError\n", "three")
    with pytest.raises(PreflightError) as caught:
        check_nodes({"one": single, "two": replace(single, live_restore=True)}, "prod")
    assert "3 problems" in str(caught.value)
    assert "docker swarm join" in str(caught.value)
    assert "live-restore" in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"two": WORKER}, "none of these hosts is a manager"),
        ({"one": replace(MANAGER, members=(), said="The swarm does not have a leader")}, "lost its quorum: The swarm"),
        ({"one": MANAGER, "other": replace(WORKER, id="n9")}, "other: it is a node of another Swarm than one"),
        ({"one": MANAGER, "three": replace(WORKER, id="n3")}, "three: the Swarm has lost it"),
    ],
)
def test_what_keeps_hosts_from_being_one_swarm_is_said(nodes: dict[str, Node], said: str) -> None:
    assert said in "\n".join(problems(nodes))


def test_a_manager_without_a_quorum_does_not_act_when_another_has_one() -> None:
    assert acting({"lost": replace(MANAGER, members=()), "one": MANAGER}) == "one"


def test_members_that_are_no_hosts_are_named() -> None:
    assert elsewhere({"one": MANAGER, "two": WORKER}) == ["four"], "three is down"
