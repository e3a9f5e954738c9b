"""What the doctor finds, from what hosts say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portside.config import load_config
from portside.diagnosis import Finding, busy, file_findings, fleet_findings, site_findings
from portside.doctor import Examination, _hosts, _project, text_of
from portside.facts import Container, Holder, State
from portside.journal import Entry, Operation
from portside.proxy import empty_config
from portside.release import Current, Image, Release, Role, Slot
from tests.unit import builders
from tests.unit.standing_host import SITE, Said, StandingHost

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CURRENT, PREVIOUS = "20260102-000000-bbbbbb", "20260101-000000-aaaaaa"


def release(identity: str) -> Release:
    return Release(
        id=identity, service="links", env="prod", image=Image(reference="links:1"), web="web", port=8000,
        roles=(Role(name="web", replicas=2, stop_first=False), Role(name="worker", replicas=1, stop_first=True)),
        readiness="/readiness", env_names=(), env_digest="", content="", commit="", created=NOW, created_by="ada",
        previous=None, compose="",
    )  # fmt: skip


def container(
    service: str, number: int, *, of: str = CURRENT, slot: str = "green", state: str = "running"
) -> Container:
    name = f"links-prod-{slot}-{service}-{number}"
    return Container(name, slot, of, service, state, name, "Up 2 hours" if state == "running" else "Exited (1)")


FINE = State(
    clock=1000.0,
    base="/home/deploy/.portside",
    current=Current(release=CURRENT, slot="green", previous=PREVIOUS, operation="2", committed=NOW),
    route="green",
    maintenance=False,
    proxy_config="",
    holder=None,
    journal=(),
    releases={CURRENT: release(CURRENT), PREVIOUS: release(PREVIOUS)},
    containers=(
        container("web", 1),
        container("web", 2),
        container("worker", 1),
        container("web", 1, of=PREVIOUS, slot="blue", state="exited"),
    ),
    proxy=None,
    accessories_fingerprint="",
    accessories={"postgres": "running"},
)


def found(state: State, *, keep_warm: bool = False) -> list[Finding]:
    return site_findings("web-1", state, "prod", keep_warm=keep_warm)


def test_a_host_as_it_should_be_has_no_findings() -> None:
    assert found(FINE) == []
    assert fleet_findings({"web-1": FINE, "web-2": FINE}, "prod") == []


def test_a_container_of_the_current_release_that_is_down_is_named() -> None:
    (finding,) = found(replace(FINE, containers=(container("web", 1), *FINE.containers[2:])))
    assert "1 of 2 web" in finding.what
    down = container("worker", 1, state="exited")
    (finding,) = found(replace(FINE, containers=(*FINE.containers[:2], down)))
    assert "0 of 1 worker" in finding.what
    assert "Exited (1)" in finding.why


def test_containers_that_no_record_explains_are_named_with_what_removes_them() -> None:
    (finding,) = found(replace(FINE, containers=(*FINE.containers, container("web", 9, of="ghost", slot="blue"))))
    assert finding.remedy.endswith("docker rm -f links-prod-blue-web-9")


def test_what_serves_is_never_told_to_be_removed_because_its_files_are_gone() -> None:
    (finding,) = found(replace(FINE, releases={PREVIOUS: release(PREVIOUS)}))
    assert f"the files of the current release {CURRENT} are gone" in finding.what


@pytest.mark.parametrize("slot", ["green", "blue"])
def test_what_serves_without_a_record_is_told_how_it_gets_one_and_not_to_be_removed(slot: Slot) -> None:
    containers = tuple(replace(each, slot=slot) for each in FINE.containers[:3])
    lost = replace(FINE, current=None, route=slot, containers=containers)
    for kept in (FINE.releases, {}):
        (finding,) = found(replace(lost, releases=kept))
        assert "isn't on record" in finding.what
        assert f"links-prod-green-web-1 ({CURRENT})" in finding.why
        assert finding.remedy == "invoke deploy --env prod"
    assert fleet_findings({"web-1": FINE, "web-2": lost}, "prod") == []


def test_a_host_that_has_no_release_beside_one_that_has_is_found() -> None:
    bare = replace(FINE, current=None, route="", releases={}, containers=())
    assert found(bare) == []
    (finding,) = fleet_findings({"web-1": FINE, "web-2": bare}, "prod")
    assert finding == Finding("web-2", "nothing is released here", "invoke deploy --env prod")


def test_an_older_release_that_still_runs_is_found_unless_it_is_kept_warm() -> None:
    beside = replace(FINE, containers=(*FINE.containers, container("web", 1, of=PREVIOUS, slot="blue")))
    assert "another release" in found(beside)[0].what
    assert found(beside, keep_warm=True) == []


def test_traffic_that_goes_to_the_wrong_slot_is_found() -> None:
    (finding,) = found(replace(FINE, route="blue"))
    assert "traffic to blue" in finding.what


def test_files_of_the_current_release_that_are_gone_are_said_to_need_a_deploy() -> None:
    """A restart reads there which image serves."""
    (finding,) = (each for each in found(replace(FINE, releases={PREVIOUS: release(PREVIOUS)})) if "gone" in each.what)
    assert finding.remedy.startswith("invoke deploy --env prod.")


def test_a_lock_that_ran_out_is_found_and_a_live_one_is_somebody_at_work() -> None:
    stale = replace(FINE, holder=Holder("bob@laptop", "deploy links:2", since=800, expires=900))
    assert "bob@laptop" in found(stale)[0].what
    assert not busy(stale)
    assert busy(replace(FINE, holder=Holder("bob@laptop", "deploy links:2", since=990, expires=1020)))


def test_what_a_dead_deployer_left_is_found_once_for_all_hosts() -> None:
    operation = Operation(id="3", kind="deploy", owner="bob@laptop", release="new")
    left = replace(FINE, journal=(Entry(at=1, phase="start", event="begin", operation=operation),))
    (finding,) = fleet_findings({"web-1": left, "web-2": left}, "prod")
    assert finding.where == "web-1, web-2"
    assert "left in start" in finding.what
    assert "undoes" in finding.remedy


def test_hosts_that_disagree_are_found() -> None:
    other = replace(FINE, current=Current(release=PREVIOUS, slot="blue", operation="1", committed=NOW))
    (finding,) = fleet_findings({"web-1": FINE, "web-2": other}, "prod")
    assert f"web-2: {PREVIOUS}" in finding.why


def test_an_accessory_that_is_down_is_found() -> None:
    assert "postgres is exited" in found(replace(FINE, accessories={"postgres": "exited"}))[0].what


def test_an_accessory_that_was_removed_is_found_once_it_has_been_started() -> None:
    removed = replace(FINE, accessories={}, accessories_fingerprint="f1")
    (finding,) = site_findings("web-1", removed, "prod", keep_warm=False, accessories=("postgres",))
    assert "postgres is gone" in finding.what
    assert finding.remedy == "invoke accessories --env prod"
    yet_to_come = replace(removed, accessories_fingerprint="")
    assert site_findings("web-1", yet_to_come, "prod", keep_warm=False, accessories=("postgres",)) == []


def test_a_damaged_file_is_named() -> None:
    folder = f"/home/deploy/.portside/sites/links-prod/releases/{CURRENT}"
    text = (
        "@@file /home/deploy/.portside/sites/links-prod/current.json\n"
        f"{FINE.current.model_dump_json() if FINE.current else ''}\n\n"
        f"@@file {folder}/release.json\n" + '{"id": "2026\n\n'
        f"@@file /home/deploy/.portside/proxy/config/caddy.json\n{json.dumps(empty_config())}\n"
    )
    (finding,) = file_findings("web-1", text, "prod")
    assert finding.what == f"{folder}/release.json is damaged"
    assert finding.remedy.endswith(f"rm -r {folder}")


def test_an_empty_file_is_a_damaged_one() -> None:
    (finding,) = file_findings("web-1", "@@file /h/.portside/sites/links-prod/current.json\n\n", "prod")
    assert "current.json is damaged" in finding.what


def test_half_a_journal_line_is_named_by_its_number() -> None:
    good = Entry(at=1, phase="start", event="begin", operation=Operation(id="1", kind="deploy", owner="a"))
    text = f"@@file /h/journal.jsonl\n{good.model_dump_json()}\n" + '{"at": 2, "pha\n'
    (finding,) = file_findings("web-1", text, "prod")
    assert "line 2" in finding.what


def test_a_reason_may_hold_whatever_unicode_calls_the_end_of_a_line() -> None:
    told = Entry(
        at=1, phase="undo", event="end", operation=Operation(id="1", kind="deploy", owner="a"), reason="a\u2028b"
    )
    assert "\u2028" in told.model_dump_json()
    assert file_findings("web-1", f"@@file /h/journal.jsonl\n{told.model_dump_json()}\n", "prod") == []


def test_secrets_that_others_can_read_are_found() -> None:
    (finding,) = file_findings("web-1", "@@readable /h/releases/1/env\n", "prod")
    assert finding.remedy == "chmod 600 /h/releases/1/env"


def test_the_report_says_where_what_why_and_how_to_mend_it() -> None:
    text = text_of(Examination(findings=[Finding("web-1", "it is broken", "mend it", "it said so")]), "prod")
    assert text.splitlines() == ["✗ web-1: it is broken", "  it said so", "→ mend it", "1 finding in prod."]
    assert text_of(Examination(states={"web-1": FINE}), "prod").startswith("✓ prod is fine")


@pytest.mark.parametrize(
    ("service", "compose"),
    [
        ("", "services: { web: { volumes: ['data:/data'] } }\nvolumes: { data: {} }\n"),
        ('web = "site"', "services: { web: {} }\n"),
    ],
    ids=["a named volume", "another name of the web service"],
)
async def test_what_is_wrong_with_a_compose_file_is_found_once_and_hides_nothing_of_a_host(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, service: str, compose: str
) -> None:
    home, checkout = (tmp_path_factory.mktemp(name) for name in ("home", "checkout"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home}/bin:/usr/bin:/bin")
    standing = StandingHost(home)
    standing.runs_proxy("{}")
    standing.serves(release(CURRENT))
    (checkout / "compose").mkdir()
    (checkout / "compose/app.yaml").write_text(compose)
    (checkout / "compose/proxy.yaml").write_text((Path(__file__).parents[2] / "compose/proxy.yaml").read_text())
    (checkout / "portside.toml").write_text(f'[service]\nname = "links"\n{service}\n\n[env.prod]\nhosts = []\n')
    config, examination = load_config(checkout), Examination()
    await _project(config, config.environment("prod"), examination)
    (wrong,) = (each for each in examination.findings if "app.yaml" in f"{each.where} {each.what}")
    await _hosts(config, config.environment("prod"), examination, Said())
    assert examination.findings.count(wrong) == 1
    assert "0 of 2 web containers of the current release run" in [each.what for each in examination.findings]


@pytest.fixture
def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandingHost:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    host = StandingHost(tmp_path)
    host.serves(release(CURRENT))
    return host


async def looked_at() -> list[Finding]:
    config, examination = builders.config(Path(__file__).parents[2], hosts=[]), Examination()
    await _hosts(config, config.environment("prod"), examination, Said())
    return examination.findings


RUNNING = json.dumps(empty_config())


async def test_what_keeps_a_host_from_saying_how_it_is_shows_beside_what_does_not(standing: StandingHost) -> None:
    (standing.site / "journal.jsonl").write_text('{"at": 2, "pha\n')
    (standing.site / "lock/expires").write_text("x\n")
    line, state = await looked_at()
    assert "journal.jsonl: line 1" in line.what
    assert state.what == "what the host says of itself can't be understood"
    assert "invalid literal for int()" in state.why
    assert "doctor" not in state.remedy


@pytest.mark.parametrize("damage", ["", "{", "{}"])
async def test_a_proxy_whose_file_is_damaged_is_not_told_to_be_restarted(standing: StandingHost, damage: str) -> None:
    standing.runs_proxy(RUNNING)
    (standing.base / "proxy/config/caddy.json").write_text(damage)
    async with standing.listening():
        findings = await looked_at()
    (damaged,) = (each for each in findings if "caddy.json is damaged" in each.what)
    assert damaged.remedy.startswith("Remove the file, then: invoke host-bootstrap --env prod")
    assert not [each for each in findings if "docker" in each.remedy or "proxy" in each.what.replace(damaged.what, "")]


async def test_a_proxy_whose_file_is_gone_is_told_to_get_one(standing: StandingHost) -> None:
    standing.runs_proxy(RUNNING)
    (standing.base / "proxy/config/caddy.json").unlink()
    async with standing.listening():
        findings = await looked_at()
    (gone,) = (each for each in findings if "caddy.json is gone" in each.what)
    assert gone.remedy.startswith("invoke host-bootstrap --env prod")
    assert not [each for each in findings if "docker" in each.remedy]


async def test_a_proxy_that_runs_with_another_file_than_is_there_is_told_to_be_restarted(
    standing: StandingHost,
) -> None:
    standing.runs_proxy(RUNNING)
    standing.running = '{"apps": {}}'
    async with standing.listening():
        findings = await looked_at()
    (other,) = (each for each in findings if "another configuration" in each.what)
    assert other.remedy.startswith("docker restart portside-proxy-caddy-1")


@pytest.mark.parametrize(("kept", "removed"), [(RUNNING, False), ("", True)])
async def test_a_proxy_that_runs_without_its_socket_is_told_to_be_started_anew(
    standing: StandingHost, kept: str, *, removed: bool
) -> None:
    standing.runs_proxy(kept)
    (silent,) = (each for each in await looked_at() if "admin socket doesn't answer" in each.what)
    assert silent.remedy.startswith(
        "There: docker rm -f portside-proxy-caddy-1. Then: invoke host-bootstrap --env prod"
    )
    assert ("Remove proxy/config/caddy.json" in silent.remedy) is removed


async def test_of_an_unfinished_operation_doctor_says_how_it_ends_and_not_what_follows_from_it(
    standing: StandingHost,
) -> None:
    assert "0 of 2 web" in " ".join(each.what for each in await looked_at())
    left = builders.entry("switch", "begin", builders.operation(release="new"))
    (standing.site / "journal.jsonl").write_text(left.model_dump_json() + "\n")
    (standing.base / "proxy/routes" / SITE / "route").write_text("green\n")
    findings = await looked_at()
    (unfinished,) = (each for each in findings if "is unfinished, left in switch" in each.what)
    assert unfinished.remedy.endswith("invoke status --env prod")
    assert not [each for each in findings if "containers" in each.what or "traffic" in each.what]


def test_a_node_of_a_swarm_may_run_any_number_of_the_release_s_containers() -> None:
    alone = replace(FINE, containers=FINE.containers[:1])
    assert site_findings("web-1", alone, "prod", keep_warm=False, swarm=True) == []
    assert site_findings("web-1", alone, "prod", keep_warm=False) != []
