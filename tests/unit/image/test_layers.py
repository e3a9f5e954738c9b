"""A host is sent what it lacks, where lacking depends on what lies below."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from portside.image.layers import chain_ids, plan_layers

BASE, DEPENDENCIES, APP = (f"sha256:{letter * 64}" for letter in "abc")


def test_the_lowest_chain_id_is_the_diff_id_and_others_hash_what_lies_below() -> None:
    second = hashlib.sha256(f"{BASE} {DEPENDENCIES}".encode()).hexdigest()
    assert chain_ids((BASE, DEPENDENCIES)) == (BASE, f"sha256:{second}")


def test_a_chain_id_is_the_one_under_which_an_engine_keeps_the_layer() -> None:
    # Read from the layerdb of an Engine 26.1.
    layers = (
        "sha256:69196622981f3b1f39492dd449cc2aa3b98866d16db4ee0ca1c6d2eb35be754c",
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    )
    assert chain_ids(layers)[1] == "sha256:40079770448b5f6e0b23ca207e9994515d19e116ab7e2f8f11a3da46ece9c60f"


def test_a_changed_application_is_the_only_layer_sent() -> None:
    present = chain_ids((BASE, DEPENDENCIES, "sha256:old"))
    plan = plan_layers((BASE, DEPENDENCIES, APP), present)
    assert plan.send == (APP,)
    assert plan.skip == (BASE, DEPENDENCIES)


def test_the_same_layer_on_another_base_is_sent_again() -> None:
    present = chain_ids(("sha256:other-base", DEPENDENCIES, APP))
    assert plan_layers((BASE, DEPENDENCIES, APP), present).send == (BASE, DEPENDENCIES, APP)


def test_an_empty_host_is_sent_everything_once() -> None:
    assert plan_layers((BASE, DEPENDENCIES, BASE, APP), ()).send == (BASE, DEPENDENCIES, APP)


def test_a_layer_that_occurs_twice_is_sent_when_one_place_lacks_it() -> None:
    layers = (BASE, DEPENDENCIES, BASE, APP)
    plan = plan_layers(layers, chain_ids(layers)[:2])
    assert plan.send == (BASE, APP)


def test_a_host_with_the_image_is_sent_nothing() -> None:
    layers = (BASE, DEPENDENCIES, APP)
    assert plan_layers(layers, chain_ids(layers)).send == ()


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.lists(st.sampled_from("abcdef"), max_size=8))
def test_every_layer_is_either_sent_or_there(wanted: list[str], present: list[str]) -> None:
    plan = plan_layers(wanted, chain_ids(present))
    assert sorted((*plan.send, *plan.skip)) == sorted(set(wanted))
    shared = 0
    while shared < min(len(wanted), len(present)) and wanted[shared] == present[shared]:
        shared += 1
    assert set(plan.send) == set(wanted[shared:])
