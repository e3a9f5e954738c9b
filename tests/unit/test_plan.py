"""What a plan says would change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portside.facts import Proxy, State
from portside.plan import Desired, make_plan
from portside.release import Release
from tests.unit import builders

ID = "20261123-154501-aaaaaa"


def desired(release: Release) -> Desired:
    return Desired(release, {"a": "p1"}, {"a": "{}"}, {"a": "x1"})


def settled(release: Release) -> State:
    return builders.state(
        current=builders.current(release.id),
        releases={release.id: release},
        proxy=Proxy(True, "p1", "caddy:2"),
        proxy_config="{}",
        accessories_fingerprint="x1",
    )


def changes(wanted: Release, state: State) -> dict[str, str]:
    plan = make_plan(desired(wanted), {"a": state})
    return {change.what: change.after or change.before for change in plan.hosts["a"]}


def test_an_empty_host_gets_everything() -> None:
    assert set(changes(builders.release(), builders.state())) == {"release", "image", "proxy", "accessories"}


def test_the_same_content_is_no_change() -> None:
    old = builders.release(ID, compose=f"labels: {ID}\n")
    new = builders.release("20270101-000000-aaaaaa", compose="labels: 20270101-000000-aaaaaa\n")
    assert changes(new, settled(old)) == {}


def test_a_new_image_is_one_change() -> None:
    new = builders.release(image=builders.Image(reference="links:sha-2"))
    assert changes(new, settled(builders.release())) == {"image": "links:sha-2"}


def test_names_of_the_environment_are_shown_and_values_only_as_changed() -> None:
    old = builders.release()
    assert changes(builders.release(env_names=("A", "B")), settled(old)) == {"env": "B is added"}
    assert changes(builders.release(env_names=()), settled(old)) == {"env": "A is removed"}
    assert changes(builders.release(env_digest="d2"), settled(old)) == {"env": "values changed"}


def test_a_changed_value_is_named_and_never_shown() -> None:
    old = builders.release(ID, env_names=("A", "B"), env_digests={"A": "1", "B": "2"})
    new = builders.release(env_names=("A", "B"), env_digests={"A": "1", "B": "3"}, env_digest="d2")
    assert changes(new, settled(old)) == {"env": "B changes"}
    more = builders.release(env_names=("A", "B", "C"), env_digests={"A": "x", "B": "2", "C": "4"}, env_digest="d2")
    plan = make_plan(desired(more), {"a": settled(old)})
    assert [change.after for change in plan.hosts["a"]] == ["C is added", "A changes"]


def test_the_proxy_and_accessories_are_reported_and_left_to_their_own_commands() -> None:
    release = builders.release()
    drifted = builders.state(
        current=builders.current(release.id),
        releases={release.id: release},
        proxy=Proxy(True, "other", "caddy:2"),
        proxy_config="{}",
        accessories_fingerprint="other",
    )
    found = changes(release, drifted)
    plan = make_plan(desired(release), {"a": drifted})
    assert plan.changes and not plan.releases, "it is shown, and no reason to release"
    assert "host-bootstrap" in found["proxy"]
    assert "invoke accessories" in found["accessories"]


@given(st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_a_plan_is_empty_exactly_when_content_is_equal(before: str, after: str, same_values: bool) -> None:
    old = builders.release(compose=before)
    new = builders.release(compose=after, env_digest="d1" if same_values else "d2")
    plan = make_plan(desired(new), {"a": settled(old)})
    assert plan.changes == plan.releases == (before != after or not same_values)
