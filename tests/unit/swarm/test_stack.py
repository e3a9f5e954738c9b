"""From the Compose file that people edit to the stack that a Swarm runs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from portside.errors import ConfigError
from portside.swarm.stack import NAME_LIMIT, object_name, render_hook, render_stack
from tests.unit import builders

SWARM = {"orchestrator": "swarm", "registry": "registry.example.com/acme/links"}
IMAGE = "registry.example.com/acme/links@sha256:abc"


def text(
    data: dict[str, Any],
    secrets: dict[str, str] | None = None,
    lines: dict[str, str] | None = None,
    **environment: Any,
) -> str:
    config = builders.config(**SWARM, **environment)
    return render_stack(
        data,
        config,
        config.environment("prod"),
        image=IMAGE,
        release="r1",
        variables={},
        handed=("SECRET",),
        lines=lines or {},
        secrets=secrets or {},
        configs={},
    )


def rendered(data: dict[str, Any], secrets: dict[str, str] | None = None, **environment: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text(data, secrets, **environment))
    return loaded


def web(service: dict[str, Any], **environment: Any) -> dict[str, Any]:
    found: dict[str, Any] = rendered({"services": {"web": service}}, **environment)["services"]["web"]
    return found


def test_the_image_is_pinned_by_digest_and_updates_start_first_and_roll_back() -> None:
    service = web({})
    assert service["image"] == IMAGE
    update = service["deploy"]["update_config"]
    assert (update["order"], update["failure_action"]) == ("start-first", "rollback")
    assert service["deploy"]["endpoint_mode"] == "dnsrr"


def test_a_file_s_own_update_settings_win() -> None:
    service = web({"deploy": {"update_config": {"parallelism": 2, "monitor": "30s"}, "replicas": 4}})
    assert service["deploy"]["update_config"]["parallelism"] == 2
    assert service["deploy"]["update_config"]["failure_action"] == "rollback"
    assert service["deploy"]["replicas"] == 4


def test_the_text_is_the_same_for_both_slots() -> None:
    labels = web({"labels": ["a=b"]})["labels"]
    assert labels["com.docker.compose.project"] == "links-prod-${PORTSIDE_SLOT}"
    assert labels["dev.portside.release"] == "r1"
    assert labels["a"] == "b"


def test_a_stop_first_service_waits_for_the_switch_and_its_number_is_kept_in_sight() -> None:
    data = {"services": {"web": {}, "worker": {"deploy": {"update_config": {"order": "stop-first"}}}}}
    worker = rendered(data, replicas={"worker": 2})["services"]["worker"]["deploy"]
    assert worker["replicas"] == 0
    assert worker["labels"]["dev.portside.replicas"] == "2", "so that a plan shows when it changes"


def test_what_compose_calls_tmpfs_and_restart_a_stack_calls_otherwise() -> None:
    service = web({"tmpfs": ["/tmp:mode=1777,size=64m", "/run"], "restart": "on-failure:3", "security_opt": ["x"]})
    assert service["volumes"] == [
        {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 64 << 20}},
        {"type": "tmpfs", "target": "/run"},
    ]
    assert service["deploy"]["restart_policy"]["condition"] == "on-failure"
    assert not {"tmpfs", "restart", "security_opt", "pull_policy"} & set(service)


@pytest.mark.parametrize("size", ["50%", "64mb", "m", "-1"])
def test_a_tmpfs_of_a_size_that_a_stack_doesn_t_know_is_refused_with_what_to_write(size: str) -> None:
    with pytest.raises(ConfigError) as caught:
        web({"tmpfs": f"/run:mode=1777,size={size}"})
    said = str(caught.value)
    assert "services.web.tmpfs" in said
    assert "size=64m" in said


@pytest.mark.parametrize(("size", "count"), [("4096", 4096), ("1K", 1 << 10), ("2g", 2 << 30)])
def test_a_tmpfs_s_size_is_read_as_the_kernel_reads_it(size: str, count: int) -> None:
    assert web({"tmpfs": f"/run:size={size}"})["volumes"][0]["tmpfs"] == {"size": count}


def test_secrets_are_external_objects_and_their_files_are_named_to_the_service() -> None:
    stack = rendered({"services": {"web": {"environment": ["A=1"]}}}, {"TOKEN": "links-prod-TOKEN-1"})
    assert stack["secrets"] == {"TOKEN": {"name": "links-prod-TOKEN-1", "external": True}}
    service = stack["services"]["web"]
    assert service["secrets"] == [{"source": "TOKEN", "target": "TOKEN"}]
    assert service["environment"] == {"A": "1", "TOKEN_FILE": "/run/secrets/TOKEN"}


def test_a_value_of_several_lines_is_in_the_environment_of_every_service_and_of_the_hook() -> None:
    data = {"services": {"web": {"environment": ["A=1"]}, "worker": {}}}
    written = text(data, lines={"RULES": "one $x ${Y}\ntwo: # 'three'\n"})
    services = yaml.safe_load(written)["services"]
    expected = "one $$x $${Y}\ntwo: # 'three'\n"
    assert services["web"]["environment"] == {"A": "1", "RULES": expected}
    assert services["worker"]["environment"] == {"RULES": expected}
    hook = yaml.safe_load(render_hook(builders.release("r1", compose=written), ("migrate",)))["services"]["hook"]
    assert hook["environment"]["RULES"] == expected


def test_another_value_is_another_object_and_the_same_one_the_same() -> None:
    one = object_name("links-prod", "TOKEN", "d1")
    assert one == object_name("links-prod", "TOKEN", "d1")
    assert one.startswith("links-prod-TOKEN-")
    assert one != object_name("links-prod", "TOKEN", "d2")
    long = object_name("s" * 63, "N" * 60, "d1")
    assert len(long) <= NAME_LIMIT
    assert long != object_name("s" * 63, "N" * 59 + "M", "d1")


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"devices": ["/dev/x"]}, "devices can't be had in a Swarm"),
        ({"mem_limit": "1g"}, "deploy.resources.limits.memory"),
        ({"deploy": {"mode": "global"}}, "max_replicas_per_node"),
        ({"ports": ["80:80"]}, "ports is refused in a release"),
    ],
)
def test_what_a_stack_can_t_have_is_refused_with_the_way_out(service: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        web(service)
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["pid", "ipc", "links", "external_links", "domainname", "mac_address", "shm_size"])
def test_what_a_stack_would_leave_out_without_a_word_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} can't be had in a Swarm"):
        web({key: "x"})


def test_a_stack_has_neither_profiles_nor_names_without_a_value() -> None:
    data = {"services": {"web": {"environment": ["SECRET", "A=1"]}, "debug": {"profiles": ["debug"]}}}
    services = rendered(data)["services"]
    assert list(services) == ["web"]
    assert services["web"]["environment"] == {"A": "1"}


def test_a_dollar_sign_stays_one() -> None:
    assert web({"command": ["echo", "$$HOME"]})["command"] == ["echo", "$$HOME"]


def test_the_hook_is_a_job_with_the_web_service_s_image_and_secrets() -> None:
    release = builders.release(compose=text({"services": {"web": {}, "worker": {}}}, {"TOKEN": "t-1"}))
    hook = yaml.safe_load(render_hook(release, ("-m", "app.migrate", "$x")))
    assert list(hook["services"]) == ["hook"]
    job = hook["services"]["hook"]
    assert (job["image"], job["command"]) == (IMAGE, ["-m", "app.migrate", "$$x"])
    assert (job["deploy"]["mode"], job["deploy"]["restart_policy"]) == ("replicated-job", {"condition": "none"})
    assert job["secrets"] and hook["secrets"]
    assert "labels" not in job, "it is no container of the release"
