"""From the Compose file that people edit to the one that a release runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portside.compose import named_variables, read_compose, render, roles
from portside.errors import ConfigError
from tests.unit import builders

WEB: dict[str, Any] = {"services": {"web": {}}}


def rendered(data: dict[str, Any], variables: dict[str, str] | None = None, **environment: Any) -> dict[str, Any]:
    config = builders.config(**environment)
    text = render(
        data, config, config.environment("prod"), image="links:1", release="r1", variables=variables or {}, configs={}
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
    (role,) = roles({"services": {"web": service}}, config, config.environment("prod"))
    assert role.grace == seconds


def test_stop_first_roles_are_known() -> None:
    data = {"services": {"web": {}, "worker": {"deploy": {"update_config": {"order": "stop-first"}}}}}
    config = builders.config()
    found = {role.name: role.stop_first for role in roles(data, config, config.environment("prod"))}
    assert found == {"web": False, "worker": True}


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ({"ports": ["80:80"]}, "ports"),
        ({"container_name": "x"}, "container_name"),
        ({"build": "."}, "invoke build"),
        ({"volumes": ["data:/data"]}, "volume 'data'"),
        ({"volumes": ["./here:/data"]}, "volume './here'"),
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


def test_variables_are_replaced_and_other_dollars_stay_literal() -> None:
    web = {"command": ["${A}", "$A", "${B:-fallback}", "$$x", "100$"]}
    command = rendered({"services": {"web": web}}, {"A": "a$b"})["services"]["web"]["command"]
    assert command == ["a$$b", "a$$b", "fallback", "$$x", "100$"]


def test_the_variables_that_a_file_asks_for_are_found() -> None:
    data = {"services": {"db": {"environment": {"PASSWORD": None, "USER": "x"}, "command": ["-c", "n=${N:-3}"]}}}
    assert named_variables(data) == {"PASSWORD", "N"}
    assert named_variables({"environment": ["A", "B=1"]}) == {"A"}


def test_this_repository_s_own_files_are_fine() -> None:
    root = Path(__file__).parents[2] / "compose"
    assert rendered(read_compose(root / "app.yaml"))["services"]["web"]["read_only"]
    assert named_variables(read_compose(root / "accessories.yaml")) == {"POSTGRES_PASSWORD"}


@pytest.mark.parametrize("text", ["", "[]", "services: {}", "services: 3", "a: b: c", "services: {web: []}"])
def test_what_is_no_compose_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_compose(path)
