"""What a release is made of has to fit together, as names that the proxy can look up; and which accessories run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portside.config import load_config
from portside.errors import ConfigError
from portside.making import Draft, read_accessories
from portside.release import Image, Release
from tests.unit import builders


def made(
    env: str,
    *,
    service: str = "links",
    replicas: int = 2,
    worker: str = "a-worker-with-a-name-that-nobody-looks-up",
    **environment: Any,
) -> Release:
    config = builders.config().model_validate(
        {
            "root": ".",
            "service": {"name": service},
            "env": {env: {"name": env, "replicas": {"web": replicas}, **environment}},
        }
    )
    data: dict[str, Any] = {"services": {"web": {}, worker: {}}}
    return Draft(config, config.environment(env), data, {}, Image(reference="links:1"), "", "dev").release(
        previous=None, created=builders.NOW
    )


SWARM = {"hosts": ["a"], "orchestrator": "swarm", "registry": "registry.example.com/acme/links"}


# service-env-green-web-9 has 63 characters; in a Swarm, service-env-green_web has two fewer.
@pytest.mark.parametrize(
    ("env", "replicas", "swarm"), [("e" * 23, 9, False), ("e" * 22, 64, False), ("e" * 25, 64, True)]
)
def test_a_name_of_63_characters_can_be_looked_up_and_one_more_is_refused(env: str, replicas: int, swarm: bool) -> None:
    settings: dict[str, Any] = {**SWARM, "worker": "job"} if swarm else {}
    service = "customer-notification-servi"
    made(env, service=service, replicas=replicas, **settings)
    with pytest.raises(ConfigError) as caught:
        made(env, service=service + "c", replicas=replicas, **settings)
    said = str(caught.value)
    assert f"{service}c-{env}-green" in said
    assert "64 characters long; 63 can be looked up" in said
    assert f"service.name, env.{env}, service.web" in said
    assert "by 1" in said


def test_in_a_swarm_every_service_s_name_counts() -> None:
    env = "e" * 25
    made(env, service="customer-notification-servi", worker="job", **SWARM)
    with pytest.raises(ConfigError, match="64 characters long") as caught:
        made(env, service="customer-notification-servi", worker="work", **SWARM)
    said = str(caught.value)
    assert f"service.name, env.{env}; compose/app.yaml: services.work" in said


@pytest.mark.parametrize("worker", ["mail.worker", "worker-", "worker_"])
def test_a_service_that_a_swarm_would_refuse_by_its_name_is_refused_before_anything_runs(worker: str) -> None:
    made("prod", worker=worker)
    with pytest.raises(ConfigError, match=f"no service of the name {worker}"):
        made("prod", worker=worker, **SWARM)


def test_another_container_s_number_counts_as_well() -> None:
    made("e" * 23, service="customer-notification-servi", replicas=9)
    with pytest.raises(ConfigError, match="-green-web-10"):
        made("e" * 23, service="customer-notification-servi", replicas=10)


async def test_an_accessory_that_is_scaled_to_nothing_isn_t_expected_to_run(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text(
        """
[service]
name = "links"
accessories = "accessories.yaml"

[env.prod]
hosts = ["deploy@a"]
env = { NONE = "0", ONE = "1" }
"""
    )
    (tmp_path / "accessories.yaml").write_text(
        """
services:
  db: { image: db }
  cache: { image: cache, deploy: { replicas: "${ONE}" } }
  replicas: { image: cache, deploy: { replicas: 0 } }
  scale: { image: cache, scale: 0 }
  variable: { image: cache, deploy: { replicas: "${NONE}" } }
  default: { image: cache, scale: "${OTHER:-0}" }
"""
    )
    config = load_config(tmp_path)
    found = await read_accessories(config, config.environment("prod"))
    assert found
    assert found.services == ("db", "cache")
