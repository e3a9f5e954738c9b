"""From the Compose file that people edit to the one that a release runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portside.compose import images, read_compose, render, roles
from portside.errors import ConfigError
from portside.interpolation import named_variables
from portside.release import Role
from tests.unit import builders

WEB: dict[str, Any] = {"services": {"web": {}}}


def rendered(data: dict[str, Any], variables: dict[str, str] | None = None, **environment: Any) -> dict[str, Any]:
    config = builders.config(**environment)
    text = render(
        data,
        config,
        config.environment("prod"),
        image="links:1",
        release="r1",
        variables=variables or {},
        handed=("SECRET",),
        configs={},
    )
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def refused(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        rendered(data)
    return str(caught.value)


def test_every_service_gets_image_environment_and_labels() -> None:
    worker = {"command": ["worker"], "labels": ["a=b"]}
    services = rendered({"services": {"web": {}, "worker": worker}})["services"]
    assert {service["image"] for service in services.values()} == {"links:1"}
    assert services["worker"]["labels"] == {
        "a": "b",
        "dev.portside.site": "links-prod",
        "dev.portside.service": "links",
        "dev.portside.env": "prod",
        "dev.portside.release": "r1",
    }
    assert services["web"]["env_file"] == ["env"]


def test_only_the_web_service_is_on_the_proxy_s_network() -> None:
    services = rendered({"services": {"web": {}, "worker": {}}})["services"]
    assert "portside" in services["web"]["networks"]
    assert "portside" not in services["worker"]["networks"]


def test_replicas_come_from_the_environment_first() -> None:
    data = {"services": {"web": {"deploy": {"replicas": 2}}, "worker": {"deploy": {"replicas": 3}}}}
    services = rendered(data, replicas={"web": 4})["services"]
    assert services["web"]["deploy"]["replicas"] == 4
    assert services["worker"]["deploy"]["replicas"] == 3


@pytest.mark.parametrize(
    ("written", "seconds"), [(None, 10), ("90s", 90), ("1m30s", 90), ("1h0m0.5s", 3600.5), ("250ms", 0.25), (30, 10)]
)
def test_how_long_a_service_may_take_to_stop_is_known(written: str | int | None, seconds: float) -> None:
    service = {} if written is None else {"stop_grace_period": written}
    config = builders.config()
    (role,) = roles({"services": {"web": service}}, config, config.environment("prod"), {})
    assert role.grace == seconds


def test_how_a_service_runs_may_be_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("""
services:
  web: {}
  worker:
    stop_grace_period: ${STOP_GRACE}
    deploy: {replicas: "${N:-2}", update_config: {order: "${ORDER}-first"}}
""")
    config = builders.config()
    variables = {"STOP_GRACE": "10m", "ORDER": "stop"}
    _, worker = roles(read_compose(path), config, config.environment("prod"), variables)
    assert worker == Role(name="worker", replicas=2, stop_first=True, grace=600)
    assert rendered(read_compose(path), variables)["services"]["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize(
    ("deploy", "named"),
    [
        ({"replicas": "${N}"}, "deploy.replicas: Input should be a valid integer"),
        ({"replicas": 65}, "deploy.replicas: Input should be less than or equal to 64"),
        ({"update_config": {"order": "${N}"}}, "deploy.update_config.order: Input should be 'start-first'"),
    ],
)
def test_a_value_that_makes_no_sense_is_said_with_its_place(deploy: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rendered({"services": {"web": {"deploy": deploy}}}, {"N": "many"})
    assert named in caught.value.why
    assert caught.value.where == "compose/app.yaml: services.web"


def test_stop_first_roles_are_known() -> None:
    data = {"services": {"web": {}, "worker": {"deploy": {"update_config": {"order": "stop-first"}}}}}
    config = builders.config()
    found = {role.name: role.stop_first for role in roles(data, config, config.environment("prod"), {})}
    assert found == {"web": False, "worker": True}


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ({"ports": ["80:80"]}, "ports"),
        ({"container_name": "x"}, "container_name"),
        ({"build": "."}, "invoke build"),
        ({"volumes": ["data:/data"]}, "volume 'data'"),
        ({"volumes": ["./here:/data"]}, "volume './here'"),
        ({"volumes": ["/data"]}, "volume '/data'"),
        ({"volumes": ["${A:-data}:/data"]}, "volume 'data'"),
        ({"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}, "volume 'data'"),
        ({"network_mode": "host"}, "network_mode"),
        ({"environment": {"A": "${NOT_THERE}"}}, "${NOT_THERE} is not set"),
        ({"deploy": {"update_config": {"order": "stop-first"}}}, "must start first"),
        ({"deploy": {"replicas": 0}}, "at least one replica"),
    ],
)
def test_what_a_release_can_t_have_is_refused_with_its_place(service: dict[str, Any], named: str) -> None:
    said = refused({"services": {"web": service}})
    assert named in said
    assert "compose/app.yaml: services.web" in said


def test_named_volumes_are_refused_with_the_reason_and_the_way_out() -> None:
    said = refused({**WEB, "volumes": {"data": None}})
    assert "run side by side" in said
    assert "accessories" in said


def test_absolute_mounts_and_tmpfs_are_fine() -> None:
    rendered({"services": {"web": {"volumes": ["/etc/ssl:/etc/ssl:ro", {"type": "tmpfs", "target": "/x"}]}}})


def test_a_volume_s_path_may_be_a_variable() -> None:
    web = rendered({"services": {"web": {"volumes": ["${DIR}:/d"]}}}, {"DIR": "/srv"})["services"]["web"]
    assert web["volumes"] == ["/srv:/d"]


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure:3", "no"])
def test_what_is_stopped_stays_stopped_when_the_engine_starts_again(policy: str) -> None:
    web = rendered({"services": {"web": {"restart": policy}}})["services"]["web"]
    assert web["restart"] == ("unless-stopped" if policy == "always" else policy)


@pytest.mark.parametrize(("condition", "meant"), [("any", "unless-stopped"), ("on-failure", "on-failure")])
def test_a_restart_policy_in_deploy_leaves_what_is_stopped_as_well(condition: str, meant: str) -> None:
    deploy = {"restart_policy": {"condition": condition, "max_attempts": 3}}
    web = rendered({"services": {"web": {"deploy": deploy}}})["services"]["web"]
    assert web["deploy"]["restart_policy"] == {"condition": meant, "max_attempts": 3}


@pytest.mark.parametrize(
    ("environment", "left"),
    [({"SECRET": None, "OTHER": None, "A": "1"}, {"OTHER": None, "A": "1"}), (["SECRET", "OTHER"], ["OTHER"])],
)
def test_a_name_without_a_value_does_not_hide_the_env_file_s(environment: Any, left: Any) -> None:
    web = rendered({"services": {"web": {"environment": environment}}})["services"]["web"]
    assert web["environment"] == left


def test_a_service_with_a_profile_is_no_part_of_a_release() -> None:
    debug = {"profiles": ["debug"], "ports": ["9:9"], "image": "debugger"}
    data = {"services": {"web": {}, "debug": debug, "worker": {"profiles": []}}}
    config = builders.config()
    assert [role.name for role in roles(data, config, config.environment("prod"), {})] == ["web", "worker"]
    assert set(rendered(data)["services"]) == {"web", "worker"}
    assert images(data, {}, "f") == ()
    assert "`profiles`" in refused({"services": {"web": {"profiles": ["debug"]}, "worker": {}}})


def test_the_images_that_a_file_names_have_their_variables_put_in() -> None:
    data = {"services": {"web": {}, "nginx": {"image": "nginx:${NGINX}"}, "cache": {"image": "${CACHE:-redis}"}}}
    assert images(data, {"NGINX": "1.27"}, "f") == ("nginx:1.27", "redis")
    assert rendered(data, {"NGINX": "1.27"})["services"]["nginx"]["image"] == "nginx:1.27"


def test_a_label_may_be_a_number(tmp_path: Path) -> None:
    path = tmp_path / "app.yaml"
    path.write_text("services: {web: {labels: {port: 8000, on: true}}}")
    assert rendered(read_compose(path))["services"]["web"]["labels"]["port"] == 8000


def test_variables_are_replaced_and_other_dollars_stay_literal() -> None:
    web = {"command": ["${A}", "$A", "${B:-fallback}", "$$x", "100$"]}
    command = rendered({"services": {"web": web}}, {"A": "a$b"})["services"]["web"]["command"]
    assert command == ["a$$b", "a$$b", "fallback", "$$x", "100$$"]


def test_the_variables_that_a_file_asks_for_are_found() -> None:
    data = {"services": {"db": {"environment": {"PASSWORD": None, "USER": "x"}, "command": ["-c", "n=${N:-3}"]}}}
    assert named_variables(data, "f") == {"PASSWORD": True, "N": False}
    assert named_variables({"environment": ["A", "B=1"]}, "f") == {"A": True}


@pytest.mark.parametrize("text", ["", "[]", "services: {}", "services: 3", "a: b: c", "services: {web: []}"])
def test_what_is_no_compose_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_compose(path)
