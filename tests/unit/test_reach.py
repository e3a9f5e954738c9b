"""An accessory's name is known on its own host; the doctor says where that isn't enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portside.config import load_config
from portside.doctor import Examination, _project
from portside.reach import reach_findings
from tests.unit import builders

BY_NAME = {"DATABASE_URL": "postgresql://links:${PASSWORD}@postgres:5432/links"}


def found(**changes: Any) -> list[str]:
    environment = builders.environment(**{"env": BY_NAME, **changes})
    return [f"{each.where}: {each.what}" for each in reach_findings(environment, ("postgres", "redis"))]


def test_a_url_that_leads_to_another_host_s_accessory_by_name_is_found() -> None:
    said = ["portside.toml: env.prod.env.DATABASE_URL: postgres isn't found by name on deploy@b"]
    assert found() == said
    assert found(accessory_hosts=["deploy@a"]) == said
    several = {"DATABASE_URL": "postgresql://links@10.0.0.5:5432,postgres/links"}
    assert found(env=several) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"accessory_hosts": ["deploy@a", "deploy@b"]},
        {"accessory_hosts": []},
        {"hosts": ["deploy@a"]},
        {"hosts": []},
        {"orchestrator": "swarm", "registry": "registry.example.com/acme/links"},
        {"env": {"DATABASE_URL": "postgresql://links:${PASSWORD}@10.0.0.5:5432/links"}},
        {"env": {"DATABASE_URL": "postgresql://postgres:${PASSWORD}@db.example.com/postgres"}},
        {"env": {"DATABASE_URL": "${PASSWORD}", "POSTGRES_USER": "postgres"}},
    ],
    ids=["everywhere", "nowhere", "one host", "this machine", "a Swarm", "an address", "another name", "no URL"],
)
def test_what_every_host_can_reach_is_no_finding(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


async def test_the_doctor_tells_it_without_a_secret_s_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2-hunter2")
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose/accessories.yaml").write_text("services: { postgres: { image: 'postgres:17' } }\n")
    (tmp_path / "portside.toml").write_text(
        '[service]\nname = "links"\naccessories = "compose/accessories.yaml"\n[env.prod]\nhosts = ["a", "b"]\n'
        f'env = {{ DATABASE_URL = "{BY_NAME["DATABASE_URL"]}" }}\nsecrets = {{ PASSWORD = "env:PASSWORD" }}\n'
    )
    config, examination = load_config(tmp_path), Examination()
    await _project(config, config.environment("prod"), examination)
    (finding,) = (each for each in examination.findings if "DATABASE_URL" in each.where)
    assert "your-service.md#an-accessory-for-several-hosts" in finding.remedy
    assert "hunter2" not in str(vars(finding))
