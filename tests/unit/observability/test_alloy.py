"""Alloy's configuration: whole, as the contract of labels says, and of our containers only.

Its own `alloy fmt` and `alloy validate` are in tests/lab/test_alloy.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portside.compose import render
from tests.unit import builders
from tests.unit.observability.alloy_labels import component, shape, stages, target_labels, timestamp
from tests.unit.observability.alloy_syntax import FILE, Block, Call, Reference, evaluated, parse

ROOT = FILE.parents[2]
# What each kind of component offers to others: https://grafana.com/docs/alloy/latest/reference/components/
EXPORTS = {
    "discovery.docker": {"targets"},
    "discovery.relabel": {"output", "rules"},
    "loki.source.docker": set[str](),
    "loki.process": {"receiver"},
    "loki.write": {"receiver"},
}
LABELS = {"service", "env", "host", "container", "level"}
METADATA = {"release", "request_id", "trace_id", "logger", "route", "status", "method"}
HOST = {"PORTSIDE_HOST": "web-1", "PORTSIDE_ENV": "prod"}
SITE = "/home/deploy/.portside/sites/links-prod"
ACCESS = (
    '{"timestamp":"2026-11-23T21:26:55.689607Z","level":"warning","message":"GET /links 503","logger":"access",'
    '"service":"links","env":"prod","release":"r1","request_id":"req-12345678","trace_id":"0af7651916cd43dd",'
    '"http.request.method":"GET","http.response.status_code":503,"http.route":"/links","url.path":"/links"}'
)


def configuration() -> Block:
    return parse(FILE.read_text())


def references(block: Block) -> list[str]:
    return [value.path for value in block.values() if isinstance(value, Reference)]


def test_every_reference_is_to_an_export_of_a_component_that_is_there() -> None:
    file = configuration()
    offered = {
        f"{block.name}.{block.label}.{export}" for block in file.blocks for export in EXPORTS.get(block.name, ())
    }

    assert {block.name for block in file.blocks} == {"logging", *EXPORTS}
    assert references(file)
    assert set(references(file)) <= offered


def test_lines_go_from_docker_to_loki() -> None:
    file = configuration()

    assert references(file.only("discovery.relabel")) == ["discovery.docker.host.targets"]
    assert references(file.only("loki.source.docker")) == [
        "discovery.relabel.portside.output",
        "loki.process.lines.receiver",
    ]
    assert references(file.only("loki.process")) == ["loki.write.central.receiver"]


def test_a_reference_to_nowhere_and_a_brace_too_many_are_seen() -> None:
    broken = FILE.read_text().replace("loki.write.central.receiver", "loki.write.centre.receiver")

    assert "loki.write.centre.receiver" in references(parse(broken))
    for wrong in (FILE.read_text() + "}\n", FILE.read_text().replace("}\n", "\n", 1)):
        with pytest.raises(ValueError, match=r"line \d+"):
            parse(wrong)


def test_streams_have_the_five_labels_and_no_other() -> None:
    rules = component("discovery.relabel").all("rule")
    set_by_rules = {rule.attributes["target_label"] for rule in rules if "target_label" in rule.attributes}
    set_by_stages = set(stages().only("stage.labels").attributes["values"])
    external = set(component("loki.write").attributes["external_labels"])

    assert set_by_rules | set_by_stages | external == LABELS
    assert set(stages().only("stage.structured_metadata").attributes["values"]) == METADATA


def test_what_the_stages_name_was_taken_out_of_the_line() -> None:
    extracted = set(stages().only("stage.json").attributes["expressions"])
    used = {
        *stages().only("stage.labels").attributes["values"].values(),
        *stages().only("stage.structured_metadata").attributes["values"].values(),
        stages().only("stage.timestamp").attributes["source"],
    }

    assert used == extracted


def test_an_access_line_gives_all_of_them() -> None:
    sent = shape({"service": "links", "env": "prod", "host": "web-1", "container": "links-prod-blue-web-1"}, ACCESS)

    assert sent.labels.keys() == LABELS
    assert sent.metadata == {
        "release": "r1",
        "request_id": "req-12345678",
        "trace_id": "0af7651916cd43dd",
        "logger": "access",
        "route": "/links",
        "status": "503",
        "method": "GET",
    }
    assert timestamp(ACCESS) == "2026-11-23T21:26:55.689607Z"


@pytest.mark.parametrize("line", ["Killed", "", "42", '["no", "object"]', '{"cut of'])
def test_a_line_that_is_no_json_object_passes(line: str) -> None:
    sent = shape({"service": "links"}, line)

    assert sent.labels == {"service": "links"}
    assert sent.metadata == {}
    assert "drop_malformed" not in stages().only("stage.json").attributes


def test_lines_read_twice_are_the_same_entries() -> None:
    stage = stages().only("stage.timestamp").attributes

    assert stage["action_on_failure"] == "skip"
    assert stage["action_on_duplicate_timestamp"] == "keep"


def test_nothing_is_given_up_while_loki_is_away() -> None:
    endpoint = component("loki.write").only("endpoint")

    assert endpoint.attributes["max_backoff_retries"] == 0


def test_a_release_is_named_by_its_own_labels() -> None:
    config = builders.config()
    environment = config.environment("prod")
    data: dict[str, Any] = {"services": {"web": {}}}
    rendered = yaml.safe_load(
        render(data, config, environment, image="links:1", release="r1", variables={}, handed=(), configs={})
    )
    labels = rendered["services"]["web"]["labels"] | {"com.docker.compose.project": "links-prod-blue"}

    assert target_labels("links-prod-blue-web-1", labels, {**HOST, "PORTSIDE_ENV": "elsewhere"}) == {
        "service": "links",
        "env": "prod",
        "host": "web-1",
        "container": "links-prod-blue-web-1",
    }


def test_the_proxy_is_named_by_its_project() -> None:
    compose = yaml.safe_load((ROOT / "compose/proxy.yaml").read_text())
    labels = {**compose["services"]["caddy"]["labels"], "com.docker.compose.project": "portside-proxy"}

    assert target_labels("portside-proxy-caddy-1", labels, HOST) == {
        "service": "portside-proxy",
        "env": "prod",
        "host": "web-1",
        "container": "portside-proxy-caddy-1",
    }


@pytest.mark.parametrize(
    ("project", "environ", "service", "env"),
    [
        ("links-prod-accessories", HOST, "links", "prod"),
        ("short-links-pre-prod-accessories", {**HOST, "PORTSIDE_ENV": "pre-prod"}, "short-links", "pre-prod"),
        ("links-staging-accessories", HOST, "links", "staging"),
    ],
)
def test_an_accessory_is_its_services(project: str, environ: dict[str, str], service: str, env: str) -> None:
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.project.working_dir": f"{SITE}/accessories",
    }
    found = target_labels(f"{project}-postgres-1", labels, environ)

    assert found
    assert (found["service"], found["env"]) == (service, env)


def test_a_one_off_container_makes_no_stream_of_its_own() -> None:
    labels = {"dev.portside.site": "links-prod", "dev.portside.service": "links", "dev.portside.env": "prod"}
    found = target_labels("links-prod-hook-web-run-0a1b2c3d4e5f", labels, HOST)

    assert found
    assert found["container"] == "links-prod-hook-web"


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("somebody-s-database", {}),
        (
            "wiki-accessories-db-1",
            {
                "com.docker.compose.project": "wiki-accessories",
                "com.docker.compose.project.working_dir": "/srv/wiki/accessories",
            },
        ),
        ("portside-agent-alloy-1", {"com.docker.compose.project": "portside-agent"}),
    ],
)
def test_others_lines_stay_where_they_are(name: str, labels: dict[str, str]) -> None:
    assert target_labels(name, labels, HOST) is None


def test_the_password_is_in_a_file() -> None:
    login = component("loki.write").only("endpoint").only("basic_auth")

    assert login.attributes == {
        "username": Call("sys.env", ("LOKI_USERNAME",)),
        "password_file": Call("sys.env", ("LOKI_PASSWORD_FILE",)),
    }


def test_whatever_it_reads_from_the_environment_is_set_for_it() -> None:
    names = {
        value.arguments[0]
        for value in configuration().values()
        if isinstance(value, Call) and value.function == "sys.env"
    }
    agent = yaml.safe_load(Path(ROOT / "observability/agent.yaml").read_text())

    assert names == set(agent["services"]["alloy"]["environment"])


def test_docker_is_reached_through_the_proxy_before_its_socket() -> None:
    hosts = [evaluated(component(name).attributes["host"], {}) for name in ("discovery.docker", "loki.source.docker")]

    assert hosts == ["http://docker-proxy:2375"] * 2
