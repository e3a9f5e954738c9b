"""What watches a host, for real: two hosts with agents, one of them with the central stack, the other writing to it.

The tests share a project; each begins with a release of its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from portside.lab.values import Lab, LabHost
from tests.lab.faults import reboot, repair_all
from tests.lab.project import REPOSITORY, Project, new_project, wait_until

pytestmark = pytest.mark.monitoring

# A scrape every 15 s, and Prometheus looks at changed target files every 5 s.
SEEN_SECONDS = 90
TARGETS = "/home/deploy/.portside/targets/tiny-lab.json"
METRICS = "/home/deploy/.portside/metrics/tiny-lab.prom"
SITE = {"service": "tiny", "env": "lab"}
AGENT = ["portside-agent-blackbox-1", "portside-agent-node-1", "portside-agent-prometheus-1"]


@pytest.fixture(scope="module")
def watched(lab: Lab, tmp_path_factory: pytest.TempPathFactory, tiny_images: dict[str, str]) -> Iterator[Project]:
    """A project on two hosts; the central stack runs on the first."""
    asyncio.run(repair_all(lab))
    project = new_project(tmp_path_factory.mktemp("watched"), lab, lab.hosts[:2], tiny_images)
    shutil.copytree(REPOSITORY / "observability", project.root / "observability")
    central = lab.hosts[0]
    project.observe = {
        "host": central.name,
        "ssh_config": str(lab.ssh_config),
        "prometheus": "0.0.0.0:9090",
        "alertmanager": "0.0.0.0:9093",
        "ingest": "0.0.0.0:9443",
        "ingest_address": f"{central.address}:9443",
    }
    project.invoke("observe", "--json")
    project.deploy()
    yield project
    # Other tests count the images on a host.
    asyncio.run(repair_all(lab))
    for host in project.hosts:
        project.shell(host, "bash", "-c", "docker image ls -q tiny | sort -u | xargs -r docker image rm --force")


def asked(project: Project, expr: str) -> list[dict[str, Any]]:
    """What the central Prometheus answers."""
    url = f"http://{project.hosts[0].address}:9090/api/v1/query"
    answer = httpx.get(url, params={"query": expr}, trust_env=False)
    assert answer.status_code == 200, answer.text
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


def seen(project: Project, expr: str, *, series: int, seconds: float = SEEN_SECONDS) -> list[dict[str, Any]]:
    """Wait until an expression has this many series; their labels."""

    def enough() -> list[dict[str, Any]] | None:
        found = asked(project, expr)
        return found if len(found) == series else None

    found: list[dict[str, Any]] = wait_until(enough, seconds=seconds, what=f"{series} series of {expr}")
    return [each["metric"] for each in found]


def running(project: Project, host: LabHost) -> list[str]:
    """The containers of a host's agent."""
    listed = project.shell(host, "docker", "ps", "--filter", "label=dev.portside.role=agent", "--format", "{{.Names}}")
    return sorted(listed.split())


def targets(project: Project, host: LabHost) -> dict[str, Any]:
    (group,) = json.loads(project.shell(host, "cat", TARGETS))
    return dict(group)


def test_the_targets_are_the_containers_that_serve(watched: Project) -> None:
    released = watched.deploy(image=watched.image("targets")).data["release"]
    for host in watched.hosts:
        serving = [name for name in watched.containers(host) if "-web-" in name]
        group = targets(watched, host)
        assert group["targets"] == [f"{name}:8000" for name in serving]
        assert group["labels"] == {
            **SITE,
            "release": released,
            "host": host.name,
            "__readiness_path": "/readiness",
            "__scrape_path": "/metrics",
        }


def test_what_is_scraped_on_every_host_arrives_under_its_own_name(watched: Project) -> None:
    released = watched.deploy(image=watched.image("scraped")).data["release"]
    told = seen(watched, f'tiny_info{{release="{released}"}}', series=4)
    assert {labels["host"] for labels in told} == {host.name for host in watched.hosts}
    for labels in told:
        assert labels["service"] == "tiny" and labels["env"] == "lab" and labels["job"] == "service"
        assert not [name for name in labels if name.startswith("exported_")]
    assert len(seen(watched, f'up{{job="service",release="{released}"}} == 1', series=4)) == 4
    for expr, series in {
        f'probe_success{{job="readiness",release="{released}"}} == 1': 4,
        'probe_success{job="site"} == 1': 2,
        "node_memory_MemAvailable_bytes": 2,
        "count by (host) (node_network_receive_bytes_total)": 2,
        'node_filesystem_avail_bytes{mountpoint="/var/lib/docker"}': 2,
        'sum by (host, domain) (caddy_http_requests_total{server="http"})': 2,
        f'portside_release_info{{release="{released}",kind="deploy"}}': 2,
        'up{job="agent"} == 1': 2,
    }.items():
        found = seen(watched, expr, series=series)
        assert {labels["host"] for labels in found} == {host.name for host in watched.hosts}, expr
    # The release before may have been looked at once more while it stopped.
    assert asked(watched, f'up{{release=~"|{released}"}} == 0') == []
    assert asked(watched, 'count by (job) ({job=~"cadvisor|alloy"})') == [], "what has no image is no target"


def test_an_undone_release_is_counted_and_nothing_else_changes(watched: Project) -> None:
    released = watched.deploy(image=watched.image("stays")).data["release"]
    host = watched.hosts[0]
    before = watched.shell(host, "cat", TARGETS), watched.shell(host, "cat", METRICS).splitlines()
    watched.environment["env"] = {"EXIT_AT_START": "1"}
    try:
        watched.deploy(image=watched.image("dies"), code=7)
    finally:
        watched.environment["env"] = {"GREETING": "hello"}
    after = watched.shell(host, "cat", TARGETS), watched.shell(host, "cat", METRICS).splitlines()
    assert after[0] == before[0]
    changed = {line.split("{")[0] for line in set(after[1]) ^ set(before[1]) if not line.startswith("#")}
    assert changed == {"portside_rollbacks_total", "portside_undo_timestamp_seconds"}
    assert f'release="{released}"' in "\n".join(after[1])
    seen(watched, 'portside_rollbacks_total{kind="undo"} >= 1', series=2)


def test_after_a_rollback_the_labels_follow(watched: Project) -> None:
    first = watched.deploy(image=watched.image("first")).data["release"]
    second = watched.deploy(image=watched.image("second")).data["release"]
    watched.invoke("rollback", "--env", "lab")
    for host in watched.hosts:
        assert targets(watched, host)["labels"]["release"] == first
        assert targets(watched, host)["targets"] == [
            f"{name}:8000" for name in watched.containers(host) if "-web-" in name
        ]
    found = seen(watched, f'portside_release_info{{kind="rollback",release="{first}"}}', series=2)
    assert {labels["previous"] for labels in found} <= {labels["previous"] for labels in found if labels["previous"]}
    seen(watched, 'portside_rollbacks_total{kind="rollback"} == 1', series=2)
    seen(watched, f'tiny_info{{release="{first}"}}', series=4)
    wait_until(
        lambda: not asked(watched, f'up{{job="service",release="{second}"}}'),
        seconds=SEEN_SECONDS,
        what="the release that was left to go",
    )
    assert not asked(watched, f'tiny_info{{release="{first}"}} and on (instance) up{{release="{second}"}}')


def test_a_switch_is_silent_in_its_environment_and_pages_again_once_undone(watched: Project) -> None:
    def silences() -> dict[str, Any]:
        answer = httpx.get(f"http://{watched.hosts[0].address}:9093/api/v2/silences", trust_env=False)
        return {each["comment"]: each for each in answer.json()}

    done = watched.deploy(image=watched.image("quiet"))
    released = done.data["release"]
    assert f"Announced: {released} is marked in monitoring; alerts that a switch may trip are quiet in lab" in done.err
    begun = silences()[f"lab switches to {released}"]
    assert begun["status"]["state"] == "active"
    assert {matcher["name"]: matcher["value"] for matcher in begun["matchers"]} == {"env": "lab", "switch": "may-trip"}
    watched.environment |= {"env": {"EXIT_AFTER": "5"}, "bake": 20}
    try:
        undone = watched.deploy(image=watched.image("loud"), code=7).data["release"]
    finally:
        watched.environment |= {"env": {"GREETING": "hello"}, "bake": 0}
    assert silences()[f"lab switches to {undone}"]["status"]["state"] == "expired"


def test_a_silence_that_cannot_be_had_is_reported_and_fails_nothing(watched: Project) -> None:
    watched.observe["alertmanager"] = "0.0.0.0:9099"
    try:
        done = watched.deploy(image=watched.image("unheard"))
    finally:
        watched.observe["alertmanager"] = "0.0.0.0:9093"
    assert done.data["outcome"] == "released"
    assert any("Alertmanager could not be told" in note for note in done.data["notes"])


def test_what_a_host_saw_while_the_stack_was_away_arrives_afterwards(watched: Project) -> None:
    central, elsewhere = watched.hosts
    seen(watched, f'up{{job="agent",host="{elsewhere.name}"}}', series=1)
    watched.shell(central, "docker", "stop", "portside-observability-prometheus-1")
    left = float(watched.shell(elsewhere, "date", "+%s"))
    wait_until(
        lambda: float(watched.shell(elsewhere, "date", "+%s")) > left + 50, seconds=70, what="some scrapes to pass"
    )
    watched.shell(central, "docker", "start", "portside-observability-prometheus-1")
    expr = f'count_over_time(up{{job="agent",host="{elsewhere.name}"}}[45s] @ {left + 48:.0f})'

    def caught_up() -> bool:
        try:
            found = asked(watched, expr)
        except (httpx.HTTPError, AssertionError):
            return False
        return bool(found) and int(found[0]["value"][1]) >= 3

    wait_until(caught_up, seconds=SEEN_SECONDS, what="the scrapes of the time in between")


def test_an_agent_that_stops_is_seen_and_the_next_deploy_brings_it_back(watched: Project) -> None:
    elsewhere = watched.hosts[1]
    seen(watched, 'up{job="agent"} == 1', series=2)
    watched.shell(elsewhere, "docker", "stop", "portside-agent-prometheus-1")
    age = 'time() - timestamp(up{job="agent",host="%s"})'
    seen(watched, f"{age % elsewhere.name} > 25", series=1)
    seen(watched, f"{age % watched.hosts[0].name} < 25", series=1)
    watched.deploy()
    assert running(watched, elsewhere) == AGENT
    seen(watched, 'time() - timestamp(up{job="agent"}) < 25', series=2)


def test_an_agent_that_was_installed_again_is_back_after_a_reboot(watched: Project) -> None:
    """Whatever an installation does to the containers that run, the Engine doesn't take them for stopped."""
    elsewhere = watched.hosts[1]
    watched.deploy()
    watched.shell(elsewhere, "docker", "rm", "--force", "portside-agent-blackbox-1")
    watched.deploy()
    assert running(watched, elsewhere) == AGENT
    asyncio.run(reboot(elsewhere))
    wait_until(lambda: running(watched, elsewhere) == AGENT, seconds=60, what="the agent after a reboot")


def test_an_agent_that_is_current_costs_a_deploy_nothing(watched: Project) -> None:
    watched.deploy()
    observe, watched.observe = watched.observe, {}
    try:
        without = watched.deploy(image=watched.image("unwatched")).data["exchanges"]
    finally:
        watched.observe = observe
    exchanges = watched.deploy(image=watched.image("plain")).data["exchanges"]
    central, elsewhere = (host.name for host in watched.hosts)
    assert exchanges[elsewhere] == without[elsewhere]
    assert exchanges[central] == without[central] + 1, "the stack's machine is told of the switch, beside it"


def test_host_bootstrap_brings_the_agent_back_and_then_has_nothing_to_do(watched: Project) -> None:
    watched.deploy()
    host = watched.hosts[1]
    watched.shell(host, "docker", "rm", "--force", "portside-agent-blackbox-1")
    arguments = ("host-bootstrap", "--env", "lab", "--user", "deploy", "--key", f"{watched.lab.key}.pub", "--json")
    done = watched.invoke(*arguments).data
    assert [[step["step"] for step in done["hosts"][each.name]] for each in watched.hosts] == [[], ["agent"]]
    assert "blackbox" in watched.shell(host, "docker", "ps", "--format", "{{.Names}}")
    assert watched.invoke(*arguments).data["outcome"] == "unchanged"
    # The gateway's password was changed: a deploy doesn't look, this does.
    central, password = watched.hosts[0], "/home/deploy/.portside/observability/secrets/ingest-password"
    kept = watched.shell(central, "cat", password)
    try:
        watched.shell(central, "bash", "-c", f"echo another >{password}")
        assert watched.invoke(*arguments, "--dry-run").data["outcome"] == "dry-run"
    finally:
        watched.shell(central, "bash", "-c", f"echo '{kept}' >{password}")


def test_only_its_own_host_reaches_an_agent_and_no_secret_is_readable(watched: Project) -> None:
    watched.deploy()
    host = watched.hosts[1]
    for port in (2020, 9090, 9100, 9115):
        reached = subprocess.run(
            ["curl", "--silent", "--noproxy", "*", "--max-time", "2", f"http://{host.address}:{port}/metrics"],
            capture_output=True,
            check=False,
        )
        assert reached.returncode == 7, f"port {port} answers on the outside"
    secrets = "/home/deploy/.portside/agent/secrets"
    modes = watched.shell(host, "bash", "-c", f"stat -c '%a %U' {secrets} {secrets}/*").splitlines()
    assert modes == ["700 deploy", "600 deploy", "600 deploy", "600 deploy"]
    password = watched.shell(host, "cat", f"{secrets}/password")
    assert len(password) > 20
    inspected = watched.shell(
        host, "bash", "-c", "docker inspect $(docker ps -aq --filter label=dev.portside.role=agent)"
    )
    assert password not in inspected
