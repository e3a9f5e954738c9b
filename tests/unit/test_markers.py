"""What monitoring is told of a release, and what a host counts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from portside import markers, steps
from portside.config import Environment
from portside.facts import State
from portside.host.script import script_text
from portside.markers import Marks, as_served, site_url
from portside.proxy import Door, with_site
from tests.unit import builders

ROOT = Path(__file__).parents[2]
R2 = "20261123-154502-bbbbbb"


def made(*, service: dict[str, Any] | None = None, judge: dict[str, Any] | None = None, **settings: Any) -> Marks:
    release = builders.release(R2)
    operation = builders.operation(slot="green", release=R2, service="links", env="prod", owner='a "b" \\ c\nd')
    current = builders.current(R2, "green", previous="20261123-154501-aaaaaa")
    whole = builders.config(**settings)
    changes = {
        "service": whole.service.model_copy(update=service or {}),
        "judge": whole.judge.model_copy(update=judge or {}),
    }
    config = whole.model_copy(update=changes)
    environment = config.environment("prod")
    return markers.marks(release, operation, current, "deploy@web-1:2222", config=config, environment=environment)


def served(**settings: Any) -> str:
    """The proxy's configuration after a release with these settings."""
    config, door = builders.config(**settings), Door("web", 8000, "/readiness")
    return with_site("", config, config.environment("prod"), 2, {"blue": door, "green": door})


def served_so(state: State, now: dict[str, str], root: Path = ROOT) -> Environment:
    """An environment that has these settings by now, with the address that a host has it at."""
    config = builders.config(root, **now)
    return as_served(config, config.environment("prod"), state)


def test_only_the_committed_slots_web_containers_are_targets() -> None:
    (group,) = json.loads(made().targets)
    assert group["targets"] == ["links-prod-green-web-1:8000", "links-prod-green-web-2:8000"]
    assert group["labels"] == {
        "service": "links",
        "env": "prod",
        "release": R2,
        "host": "web-1",
        "__readiness_path": "/readiness",
        "__scrape_path": "/metrics",
    }


def test_containers_are_scraped_where_the_judge_asks_them() -> None:
    (group,) = json.loads(made(judge={"path": "/internal/metrics"}).targets)
    assert group["labels"]["__scrape_path"] == "/internal/metrics"
    assert not {"__metrics_path__", "__address__"} & set(group["labels"]), "the probes read this file too"


def test_what_a_person_is_called_does_not_break_the_textfile() -> None:
    text = made().release
    assert r'by="a \"b\" \\ c\nd",kind="deploy"} 1' in text
    assert f'portside_release_timestamp_seconds{{service="links",env="prod",release="{R2}",kind="deploy"}} ' in text
    assert text.count("\n") == 5


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://portside-proxy-caddy-1"),
        ({"domain": "a.example", "http": "0.0.0.0:80"}, "http://a.example"),
        ({"domain": "a.example", "http": "0.0.0.0:8080"}, "http://a.example:8080"),
        ({"domain": "a.example", "https": "0.0.0.0:443"}, "https://a.example"),
        ({"domain": "a.example", "https": "0.0.0.0:8443"}, "https://a.example:8443"),
        ({"domain": "a.example", "http": "0.0.0.0:8080", "url": "https://a.example"}, "https://a.example"),
        ({"domain": "a.example", "http": "127.0.0.1:8080", "url": "https://b.example"}, "https://b.example"),
        ({"domain": "a.example", "http": "127.0.0.1:8080", "https": "0.0.0.0:443"}, "https://a.example"),
    ],
)
def test_the_site_is_asked_where_people_reach_it(settings: dict[str, Any], url: str) -> None:
    assert site_url(builders.environment(**settings)) == url
    (group,) = json.loads(made(**settings).site)
    assert group["targets"] == [f"{url}/readiness"]


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "[::1]:8080"])
def test_a_site_that_only_its_own_host_reaches_is_asked_there_by_its_name(listen: str) -> None:
    (group,) = json.loads(made(domain="a.example", http=listen).site)
    assert group["targets"] == ["http://portside-proxy-caddy-1/readiness"]
    assert group["labels"]["__param_hostname"] == "a.example"


@pytest.mark.parametrize("pattern", ["/readiness", "/READINESS", "/readi*", "*ness"])
def test_where_the_proxy_keeps_the_readiness_path_to_itself_something_else_is_asked(pattern: str) -> None:
    service = {"private_paths": ("/metrics", pattern)}
    for tls, module in (("acme", "site_private"), ("internal", "site_private_internal")):
        (group,) = json.loads(made(service=service, tls=tls, domain="a.example", https="0.0.0.0:443").site)
        assert group["targets"] == ["https://a.example/"]
        assert group["labels"]["__param_module"] == module
        assert module in yaml.safe_load((ROOT / "observability/agent/blackbox.yml").read_text())["modules"]


@pytest.mark.parametrize(
    ("before", "now", "ports", "url"),
    [
        ({"domain": "a.example"}, {"domain": "b.example"}, ["0.0.0.0:80:80"], "http://a.example"),
        ({}, {"domain": "b.example"}, ["0.0.0.0:80:80"], markers.PROXY),
        (
            {"domain": "a.example", "https": "0.0.0.0:443"},
            {},
            ["0.0.0.0:80:80", "0.0.0.0:443:443"],
            "https://a.example",
        ),
        (
            {"domain": "a.example", "https": "0.0.0.0:8443"},
            {"domain": "a.example", "https": "0.0.0.0:443"},
            ["0.0.0.0:80:80", "0.0.0.0:8443:443"],
            "https://a.example:8443",
        ),
        ({"domain": "a.example", "https": "0.0.0.0:443"}, {}, [], "https://a.example"),
        (
            {"domain": "a.example"},
            {"domain": "a.example", "https": "0.0.0.0:443"},
            ["0.0.0.0:80:80", "0.0.0.0:443:443"],
            "http://a.example",
        ),
        (
            {"domain": "a.example"},
            {"domain": "a.example", "url": "https://b.example"},
            ["0.0.0.0:80:80"],
            "https://b.example",
        ),
    ],
)
def test_what_isn_t_released_yet_or_was_taken_back_doesn_t_move_a_site(
    before: dict[str, str], now: dict[str, str], ports: list[str], url: str
) -> None:
    proxy_compose = f"services:\n  caddy:\n    ports: {json.dumps(ports)}\n"
    state = builders.state(proxy_config=served(**before), proxy_compose=proxy_compose)
    assert site_url(served_so(state, {"http": "0.0.0.0:80", **now})) == url


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ('[{"targets": ["https://a.example/readiness"]}]', "https://a.example"),
        ('[{"targets": ["https://a.example:8443/"]}]', "https://a.example:8443"),
        ("", "https://a.example:8443"),
        ('[{"targets": ["http://portside-proxy-caddy-1/readiness"]}]', "https://a.example:8443"),
        ('[{"targets": ["https://a.example:x/"]}]', "https://a.example:8443"),
        ("[{}]", "https://a.example:8443"),
        ("{", "https://a.example:8443"),
    ],
)
def test_of_two_ports_that_are_published_a_site_has_the_one_that_monitoring_was_told_of(told: str, url: str) -> None:
    now = {"domain": "a.example", "https": "0.0.0.0:8443"}
    ports = ["0.0.0.0:80:80", "0.0.0.0:443:443", "0.0.0.0:8443:443"]
    proxy_compose = f"services:\n  caddy:\n    ports: {json.dumps(ports)}\n"
    state = builders.state(proxy_config=served(**now), proxy_compose=proxy_compose, told=told)
    assert site_url(served_so(state, {"http": "0.0.0.0:80", **now})) == url


@pytest.mark.parametrize(
    ("told", "now", "url"),
    [
        ("https://a.example/readiness", {"https": "0.0.0.0:443"}, "https://a.example"),
        ("https://a.example/readiness", {"https": "0.0.0.0:9443"}, "https://a.example"),
        ("https://a.example:9443/readiness", {"https": "0.0.0.0:443"}, "https://a.example:9443"),
        ("", {"https": "0.0.0.0:443"}, "https://a.example"),
        ("", {}, "https://a.example"),
    ],
)
def test_ports_that_are_published_by_hand_are_nobody_s_address(
    tmp_path: Path, told: str, now: dict[str, str], url: str
) -> None:
    ports = '["127.0.0.1:8443:443"]'
    shipped = (ROOT / "compose/proxy.yaml").read_text().replace("${PORTSIDE_PROXY_PORTS}", ports)
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/proxy.yaml").write_text(shipped)
    state = builders.state(
        proxy_config=served(domain="a.example", https="0.0.0.0:443"),
        proxy_compose=shipped,
        told=json.dumps([{"targets": [told]}]) if told else "",
    )
    assert site_url(served_so(state, {"domain": "a.example", **now}, tmp_path)) == url


def test_a_project_s_proxy_that_can_t_be_read_fails_no_commit(tmp_path: Path) -> None:
    state = builders.state(proxy_config=served(domain="a.example"))
    assert served_so(state, {"domain": "b.example"}, tmp_path).domain == "b.example"


def test_whose_certificate_a_site_has_is_read_from_its_proxy_too() -> None:
    secure = {"domain": "a.example", "https": "0.0.0.0:443"}
    state = builders.state(proxy_config=served(**secure, tls="internal"))
    environment = served_so(state, secure)
    assert (environment.tls, environment.https) == ("internal", "0.0.0.0:443")


@pytest.mark.parametrize(
    "damaged", [{"proxy_config": "{"}, {"proxy_config": "[]"}, {"proxy_compose": "services: ["}, {"proxy_config": ""}]
)
def test_a_proxy_that_can_t_be_read_fails_no_commit(damaged: dict[str, str]) -> None:
    state = builders.state(**({"proxy_config": served(domain="a.example")} | damaged))
    assert served_so(state, {"domain": "b.example"}) == builders.environment(domain="b.example")


def test_a_site_in_a_swarm_says_so_because_its_containers_move() -> None:
    (swarm,), (single,) = (json.loads(made(orchestrator=kind).site) for kind in ("swarm", "compose"))
    assert swarm["labels"]["orchestrator"] == "swarm"
    assert "orchestrator" not in single["labels"]


def test_a_certificate_of_the_proxys_own_ca_is_not_held_against_it() -> None:
    (group,) = json.loads(made(domain="a.example", https="0.0.0.0:443", tls="internal").site)
    assert group["labels"]["__param_module"] == "site_internal"


def test_what_stands_before_a_proxy_with_a_ca_of_its_own_has_its_certificate_checked() -> None:
    secure: dict[str, Any] = {"domain": "a.example", "https": "0.0.0.0:443", "tls": "internal"}
    (group,) = json.loads(made(**secure, url="https://b.example").site)
    assert group["targets"] == ["https://b.example/readiness"]
    assert group["labels"]["__param_module"] == "site"


def test_a_host_has_one_name_whoever_logs_in_and_where_unless_another_one_has_it_too() -> None:
    one = builders.environment(hosts=["deploy@web-1:2222"])
    assert {one.label(name) for name in ("web-1", "deploy@web-1", "deploy@web-1:2222")} == {"web-1"}
    two = builders.environment(hosts=["deploy@203.0.113.5:2201", "deploy@203.0.113.5:2202", "web-1"])
    assert list(map(two.label, two.hosts)) == ["203.0.113.5:2201", "203.0.113.5:2202", "web-1"]


class Machine:
    """A home folder in which the real scripts run, with a lease that they believe in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.site = home / ".portside/sites/links-prod"
        (self.site / "lock").mkdir(parents=True)
        (self.site / "lock/token").write_text("1\n")
        (self.site / "lock/holder.json").write_text("{}\n")
        # No Engine is asked for more than the containers of a release, of which there are none.
        (home / "bin").mkdir()
        (home / "bin/docker").write_text("#!/bin/sh\n")
        (home / "bin/docker").chmod(0o755)

    def composes(self, script: str) -> None:
        """`script` instead of Compose's plugin."""
        plugin = self.home / ".docker/cli-plugins/docker-compose"
        plugin.parent.mkdir(parents=True)
        plugin.write_text(script)
        plugin.chmod(0o755)

    def run(self, step: steps.Step) -> str:
        done = subprocess.run(
            ["bash", "-c", script_text(step.script), "test", "links-prod", "1", '{"a":1}', '{"a":2}', *step.arguments],
            env={"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/bin:/bin"},
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    def commit(self, identity: str, **changes: Any) -> str:
        operation = builders.operation(identity, release=R2, service="links", env="prod", **changes)
        return self.run(steps.commit(operation, builders.current(R2), made()))

    def undo(self, identity: str, **changes: Any) -> str:
        values = {"release": R2, "service": "links", "env": "prod", "previous": None} | changes
        return self.run(steps.undo(builders.operation(identity, **values), "why", grace=1))

    @property
    def metrics(self) -> dict[str, str]:
        lines = (self.home / ".portside/metrics/links-prod.prom").read_text().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: value for name, _, value in samples}

    def counted(self, kind: str) -> str:
        return self.metrics[f'portside_rollbacks_total{{service="links",env="prod",kind="{kind}"}}']


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_commit_publishes_what_the_engine_made(machine: Machine) -> None:
    assert machine.commit("op-1") == ""
    base = machine.home / ".portside"
    assert json.loads((base / "targets/links-prod.json").read_text()) == json.loads(made().targets)
    assert json.loads((base / "targets/links-prod.site.json").read_text()) == json.loads(made().site)
    for file in ("targets/links-prod.json", "targets/links-prod.site.json", "metrics/links-prod.prom"):
        assert (base / file).stat().st_mode & 0o777 == 0o644
    assert machine.counted("rollback") == machine.counted("undo") == "0", "both are there from the first release on"


def test_a_step_that_is_repeated_counts_once(machine: Machine) -> None:
    for _ in range(2):
        machine.commit("op-1", kind="rollback")
    for _ in range(3):
        machine.undo("op-2")
    machine.undo("op-3")
    machine.commit("op-4", kind="rollback")
    assert (machine.counted("rollback"), machine.counted("undo")) == ("2", "2")


def test_an_undo_leaves_the_release_and_stamps_itself(machine: Machine) -> None:
    machine.commit("op-1")
    before = machine.metrics
    machine.undo("op-2")
    after = machine.metrics
    stamp = f'portside_undo_timestamp_seconds{{service="links",env="prod",release="{R2}"}}'
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {stamp, 'portside_rollbacks_total{service="links",env="prod",kind="undo"}'}
    assert int(after[stamp]) > 1_700_000_000


def test_an_undo_of_the_first_release_is_counted_too(machine: Machine) -> None:
    machine.undo("op-1")
    assert machine.counted("undo") == "1"
    assert not any(name.startswith("portside_release_info") for name in machine.metrics)


def test_what_was_begun_by_an_older_engine_is_undone_without_a_count(machine: Machine) -> None:
    machine.undo("op-1", service="", env="")
    assert not (machine.home / ".portside/metrics").exists()


def test_a_count_that_is_damaged_starts_again_and_a_folder_in_the_way_is_said(machine: Machine) -> None:
    (machine.site / "marks.counts").write_text("undo x\n")
    machine.undo("op-1")
    assert machine.counted("undo") == "1"
    (machine.home / ".portside/targets/links-prod.json.new").mkdir(parents=True)
    assert "monitoring could not be told" in machine.commit("op-2")
    assert json.loads((machine.site / "current.json").read_text())["release"] == R2


def test_an_undo_that_monitoring_can_t_be_told_of_says_so_and_is_done(machine: Machine) -> None:
    (machine.site / "releases" / R2).mkdir(parents=True)
    (machine.home / ".portside/metrics/links-prod.prom.new").mkdir(parents=True)
    said = machine.undo("op-1")
    assert said.endswith("monitoring could not be told of this undo\n")
    assert "links-prod.prom.new" in said, "and why"
    assert not (machine.site / "releases" / R2).exists()
    assert (machine.site / "journal.jsonl").read_text().splitlines()[-1].endswith('"a":2}')


def test_each_metric_has_its_type_before_it(machine: Machine) -> None:
    machine.commit("op-1")
    machine.undo("op-2")
    families: set[str] = set()
    for line in (machine.home / ".portside/metrics/links-prod.prom").read_text().splitlines():
        if line.startswith("# TYPE"):
            families.add(line.split()[2])
        elif not line.startswith("#"):
            assert line.split("{")[0] in families
