"""What portside.toml may say of a Swarm, and what follows from it before any host is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portside.config import load_config
from portside.errors import ConfigError, HostError, LockError
from portside.fleet import enough
from portside.proxy import Door, with_site
from tests.unit import builders


def loaded(root: Path, *lines: str) -> str:
    text = "\n".join(['[service]\nname = "links"\n[env.prod]\norchestrator = "swarm"', *lines])
    (root / "portside.toml").write_text(text)
    try:
        load_config(root)
    except ConfigError as error:
        return str(error)
    return ""


WEB = Door("web", 8000, "/readiness")
HOSTS = 'hosts = ["a", "b", "c"]'
REGISTRY = 'registry = "registry.example.com/acme/links"'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((HOSTS, REGISTRY), ""),
        ((HOSTS,), "a Swarm needs a registry"),
        ((REGISTRY,), "a Swarm needs hosts"),
        ((HOSTS, REGISTRY, 'accessory_hosts = ["a", "b"]'), "accessories on more than one host"),
        ((HOSTS, REGISTRY, 'accessory_hosts = ["a"]'), ""),
    ],
)
def test_what_a_swarm_can_t_do_without_is_said_when_the_file_is_read(
    tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    found = loaded(tmp_path, *lines)
    assert said in found if said else not found


def test_compose_stays_what_it_is_when_nothing_is_said() -> None:
    assert builders.environment().orchestrator == "compose"


def test_the_proxy_of_every_node_asks_for_all_tasks_of_a_slot() -> None:
    config = builders.config(orchestrator="swarm")
    text = with_site("", config, config.environment("prod"), 2, {"blue": WEB, "green": WEB})
    assert '"name": "tasks.links-prod-blue_web"' in text
    assert '"name": "tasks.links-prod-green_web"' in text
    assert "links-prod-blue-web-1" not in text
    assert json.loads(text)


def test_a_swarm_goes_on_with_most_of_its_hosts_and_only_when_the_others_are_gone() -> None:
    gone, held = HostError("gone", where="c"), LockError("held", where="c")
    assert enough(["a", "b"], [gone])
    assert not enough(["a"], [gone])
    assert not enough(["a"], [gone, gone])
    assert not enough(["a", "b"], [held])
