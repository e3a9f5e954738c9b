"""The agent's files as values, and when a host needs them again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from portside.agent import NEEDED, OPTIONAL, Agent, credentials, is_current, read_agent
from portside.agents import environment_of
from portside.errors import ConfigError
from portside.facts import Agent as Found
from portside.facts import State, parse_state
from portside.host.script import script_text
from portside.observe.ingest import Ingest
from portside.release import archive
from portside.tools import ensure_tool
from tests.lab.project import wait_until
from tests.lab.world import PROMETHEUS
from tests.unit import builders
from tests.unit.test_markers import Machine, made

ROOT = Path(__file__).parents[2]
INGEST = Ingest("https://monitor.example.com:9443", "-----BEGIN CERTIFICATE-----\n", "agent", SecretStr("hush"))


@pytest.fixture
def agent() -> Agent:
    return read_agent(builders.config(ROOT))


def scraping(agent: Agent, ingest: Ingest | None = None, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(agent.files(ingest, left_out)["config/prometheus-agent.yml"])
    return loaded


def jobs(data: dict[str, Any]) -> dict[str, Any]:
    return {job["job_name"]: job for job in data["scrape_configs"]}


def test_beside_the_stack_it_writes_over_the_network_inside(agent: Agent) -> None:
    (write,) = scraping(agent)["remote_write"]
    assert write["url"] == "http://portside-observability-prometheus-1:9090/api/v1/write"
    assert "basic_auth" not in write
    assert agent.files(None, ())["secrets/password"] == ""


def test_from_elsewhere_it_writes_by_tls_with_a_password_out_of_a_file(agent: Agent) -> None:
    (write,) = scraping(agent, INGEST)["remote_write"]
    assert write["url"] == "https://monitor.example.com:9443/api/v1/write"
    assert write["basic_auth"] == {"username": "agent", "password_file": "/secrets/password"}
    assert write["tls_config"] == {"ca_file": "/secrets/ca.pem"}
    files = agent.files(INGEST, ())
    assert [name for name, text in files.items() if "hush" in text] == ["secrets/password"]


def test_what_has_no_image_is_not_scraped(agent: Agent) -> None:
    everything = jobs(scraping(agent))
    assert set(everything) == {
        "service", "readiness", "site", "node", "cadvisor", "caddy", "alloy", "blackbox", "agent",
    }  # fmt: skip
    assert set(everything) - set(jobs(scraping(agent, left_out=("alloy", "cadvisor")))) == {"alloy", "cadvisor"}


def test_the_service_names_itself_and_a_sites_own_file_is_not_taken_for_its_containers(agent: Agent) -> None:
    service = jobs(scraping(agent))["service"]
    assert service["honor_labels"] is True
    drop = service["relabel_configs"][0]
    assert drop["action"] == "drop"
    assert re.fullmatch(drop["regex"], "/targets/links-prod.site.json")
    assert not re.fullmatch(drop["regex"], "/targets/links-prod.json")


def test_only_the_service_is_asked_where_its_targets_say_that_metrics_are(agent: Agent) -> None:
    found = jobs(scraping(agent))
    moved = {
        name: rule["source_labels"]
        for name, job in found.items()
        for rule in job.get("relabel_configs", ())
        if rule.get("target_label") == "__metrics_path__"
    }
    assert moved == {"service": ["__scrape_path"]}


def test_sites_of_one_host_are_one_target_of_its_proxy(agent: Agent) -> None:
    """Whatever a site's own file says of it is dropped."""
    drop = jobs(scraping(agent))["caddy"]["relabel_configs"][0]
    (group,) = json.loads(made(domain="a.example", orchestrator="swarm").site)
    assert [label for label in group["labels"] if not re.fullmatch(drop["regex"], label)] == []


def test_a_fingerprint_changes_with_anything_and_with_where_it_sends(agent: Agent) -> None:
    others = [
        agent.fingerprint("https://a:1", "web-1"),
        agent.fingerprint("", "web-2"),
        Agent(agent.compose + "\n", agent.config, agent.images, agent.proxy_image).fingerprint("", "web-1"),
        Agent(agent.compose, {**agent.config, "a": ""}, agent.images, agent.proxy_image).fingerprint("", "web-1"),
        Agent(agent.compose, agent.config, {**agent.images, "node": "x"}, agent.proxy_image).fingerprint("", "web-1"),
        Agent(agent.compose, agent.config, agent.images, "caddy:3").fingerprint("", "web-1"),
    ]
    assert len({agent.fingerprint("", "web-1"), *others}) == len(others) + 1


def test_a_host_is_current_when_all_of_its_agent_runs_with_this_fingerprint() -> None:
    def current(running: bool, fingerprint: str, secrets: str | None = None) -> bool:
        return is_current(builders.state(agent=Found(running, fingerprint, tuple(NEEDED), "a")), "f1", secrets)

    assert not is_current(builders.state(), "f1")
    assert current(True, "f1")
    assert not current(False, "f1")
    assert not is_current(builders.state(agent=Found(True, "f1", ("node", "prometheus"), "a")), "f1"), "one was removed"
    assert not current(True, "f2")
    assert not current(True, "f1.-"), "of before credentials had a file of their own"
    assert current(True, "f1", "a")
    assert not current(True, "f1", "b"), "the gateway's password was changed"


def test_the_stacks_own_machine_is_watched_as_part_of_what_is_released_to_it() -> None:
    config = builders.config()
    for host, name in {"deploy@a": "prod", "deploy@monitor": "observability"}.items():
        there = config.model_copy(update={"observe": config.observe.model_copy(update={"host": host})})
        assert environment_of(there).name == name
    assert environment_of(builders.config(hosts=[])).name == "prod", "this machine"


def test_credentials_are_told_apart_and_not_told() -> None:
    other = Ingest(INGEST.url, INGEST.ca, INGEST.user, SecretStr("other"))
    assert len({credentials(None), credentials(INGEST), credentials(other)}) == 3
    assert "hush" not in credentials(INGEST)


def test_every_image_has_a_version_and_a_missing_one_is_named(agent: Agent, tmp_path: Path) -> None:
    assert set(agent.images) == set(NEEDED | OPTIONAL)
    assert all(not image.endswith("latest") and ":" in image for image in agent.images.values())
    (tmp_path / "observability").mkdir()
    (tmp_path / "observability/versions.env").write_text("PROMETHEUS_IMAGE=prom/prometheus:v3\n")
    with pytest.raises(ConfigError, match="NODE_EXPORTER_IMAGE is not set"):
        read_agent(builders.config(tmp_path))


def test_nothing_is_published_and_everything_is_confined(agent: Agent) -> None:
    services = yaml.safe_load(agent.compose)["services"]
    for name, service in services.items():
        assert "ports" not in service, name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["labels"]["dev.portside.role"] == "agent", name
        assert service.get("user", "root") != "root" or name == "cadvisor", name
        sockets = [volume for volume in service.get("volumes", []) if "docker.sock" in str(volume)]
        assert not sockets or name in ("docker-proxy", "cadvisor"), name
    assert services["docker-proxy"]["networks"] == ["socket"]
    others = {name for name, service in services.items() if "socket" in service.get("networks", [])}
    assert others == {"alloy", "docker-proxy"}, "nobody else gets near the Docker API"


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/v1.45/containers/json", True),
        ("/containers/json", True),
        ("/_ping", True),
        ("/v1.45/networks", True),
        ("/v1.45/containers/0123456789ab/logs", True),
        ("/v1.45/containers/0123456789ab/json", True),
        ("/v1.45/containers/0123456789ab/archive", False),
        ("/v1.45/containers/0123456789ab/../../secrets", False),
        ("/v1.45/containers/create", False),
        ("/v1.45/exec/0123456789ab/json", False),
        ("/v1.45/images/json", False),
        ("/v1.45/containers/json/", False),
        ("/x/v1.45/containers/json", False),
    ],
)
def test_the_socket_proxy_passes_reads_of_a_few_paths(agent: Agent, path: str, passes: bool) -> None:
    server = json.loads(agent.config["docker-proxy.json"])["apps"]["http"]["servers"]["docker"]
    passing, rest = server["routes"]
    (match,) = passing["match"]
    assert match["method"] == ["GET", "HEAD"]
    assert bool(re.search(match["path_regexp"]["pattern"], path)) is passes
    assert rest["handle"][0]["status_code"] == 403 and "match" not in rest


STUB = """#!/bin/sh
case "$*" in
*"network inspect -f"*) echo "172.18.0.1 " ;;
*"ps -a"*) for each in prometheus node blackbox; do echo "|agent|portside-agent||$each|f1|id|running|n|i|Up"; done ;;
*compose*) echo "$PORTSIDE_HOST $PORTSIDE_ENV $PORTSIDE_GATEWAY $PORTSIDE_CONFIG" >>"$HOME/started" ;;
kill*) echo "no container starts with its host after a signal" >&2; exit 1 ;;
esac
"""


def installed(
    home: Path, agent: Agent, ingest: Ingest, env: str = "prod", left_out: tuple[str, ...] = tuple(OPTIONAL)
) -> None:
    """By the script that does it on a host."""
    profiles = ",".join(sorted(set(OPTIONAL) - set(left_out))) or "-"
    done = subprocess.run(
        ["bash", "-c", script_text("agent"), "test", "links-prod", "1", "f1", "5", "web-1", env, profiles],
        input=archive(agent.files(ingest, left_out)),
        env={"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def looked_at(home: Path) -> State:
    done = subprocess.run(
        ["bash", "-c", script_text("state"), "test", "links-prod", "0"],
        env={"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        capture_output=True,
        check=True,
        text=True,
    )
    return parse_state(done.stdout, "web-1")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    (tmp_path / "bin/docker").write_text(STUB)
    (machine.site / "lock/holder.json").write_text('{"owner":"me","operation":"op-1","since":1}\n')
    return machine


def test_environments_of_one_host_share_its_agent_and_its_name(agent: Agent, machine: Machine) -> None:
    for env in ("prod", "staging"):
        installed(machine.home, agent, INGEST, env)
    assert (machine.home / "started").read_text().splitlines() == ["web-1 prod 172.18.0.1 f1"] * 2
    folder = machine.home / ".portside/agent"
    assert (folder / "secrets/password").read_text() == "hush"
    for name in ("password", "ca.pem", "fingerprint"):
        assert (folder / "secrets" / name).stat().st_mode & 0o777 == 0o600
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    for name in agent.config:
        assert (folder / "config" / name).stat().st_mode & 0o777 == 0o644, "the containers' own users read it"


def test_another_password_is_known_of_a_host_and_makes_no_container_anew(agent: Agent, machine: Machine) -> None:
    """Those that run would lose what they couldn't send: they read the files again instead."""
    other = Ingest(INGEST.url, INGEST.ca, INGEST.user, SecretStr("other"))
    for ingest in (INGEST, other):
        installed(machine.home, agent, ingest)
        assert is_current(looked_at(machine.home), "f1", credentials(ingest))
    labels = {line.split()[-1] for line in (machine.home / "started").read_text().splitlines()}
    assert labels == {"f1"}, "the label that containers are compared by"
    assert (machine.home / ".portside/agent/secrets/password").read_text() == "other"


@contextlib.contextmanager
def prometheus(machine: Machine, agent: Agent) -> Iterator[str]:
    """The agent's own, started as its container is, with this machine's folders; its URL."""
    program = asyncio.run(ensure_tool(PROMETHEUS, print))
    folder = machine.home / ".portside/agent"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = "\n".join(yaml.safe_load(agent.compose)["services"]["prometheus"]["command"])
    for there, here in {"/etc/agent": f"{folder}/config", "=/wal": f"={folder}/wal", "=:9090": f"={address}"}.items():
        command = command.replace(there, here)
    argv = [str(program), *command.splitlines(), "--config.auto-reload-interval=1s"]
    told = {"PORTSIDE_HOST": "web-1", "PORTSIDE_ENV": "prod"}
    with (machine.home / "log").open("wb") as log, subprocess.Popen(argv, env=told, stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.kill()


def wait_until_scraped(url: str, jobs: set[str]) -> None:
    def scraped() -> bool:
        try:
            answer = httpx.get(f"{url}/api/v1/targets", params={"state": "active"}, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            return False
        return {target["scrapePool"] for target in answer.json()["data"]["activeTargets"]} == jobs

    wait_until(scraped, seconds=60, what=f"{sorted(jobs)} to be scraped")


@pytest.mark.slow
def test_what_comes_later_is_scraped_by_the_prometheus_that_runs(agent: Agent, machine: Machine) -> None:
    """Its label stays, and so does its container, with what it couldn't send."""
    always = {"node", "blackbox", "agent"}
    installed(machine.home, agent, None, left_out=("alloy", "cadvisor"))
    with prometheus(machine, agent) as url:
        wait_until_scraped(url, always)
        for left_out in (("alloy",), ()):
            installed(machine.home, agent, None, left_out=left_out)
            wait_until_scraped(url, always | {"alloy", "cadvisor"} - set(left_out))
    labels = {line.split()[-1] for line in (machine.home / "started").read_text().splitlines()}
    assert labels == {"f1"}
