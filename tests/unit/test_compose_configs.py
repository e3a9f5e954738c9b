"""Texts that a release brings with it as files of its containers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portside.compose_configs import LARGEST, read_configs, shipped_name
from portside.errors import ConfigError
from portside.making import Draft, read_accessories
from portside.release import Image
from tests.unit import builders


def read(path: Path, configs: Any, service: Any = None, **variables: str) -> dict[str, str]:
    data = {"services": {"web": {"configs": service or []}}, "configs": configs}
    return read_configs(data, path / "app.yaml", variables)


def test_a_file_is_taken_as_it_is_and_a_content_with_its_variables(tmp_path: Path) -> None:
    (tmp_path / "banner.txt").write_bytes(b"$HOME ${NAME}\r\n")
    found = read(
        tmp_path,
        {"banner": {"file": "./banner.txt"}, "mode": {"content": "${NAME} $$1 costs\n"}},
        ["banner", {"source": "mode", "target": "/etc/mode"}],
        NAME="links",
    )
    assert found == {"banner": "$HOME ${NAME}\r\n", "mode": "links $1 costs\n"}


@pytest.mark.parametrize(
    ("configs", "service", "said"),
    [
        ({"a": {"external": True}}, [], "either `file` or `content`"),
        ({"a": {"file": "x", "content": "y"}}, [], "either `file` or `content`"),
        ({"a": {"file": "missing"}}, [], "missing can't be read"),
        ({"a": {"content": ""}}, [], "between 1 and"),
        ({"a": {"content": "x" * (LARGEST + 1)}}, [], f"this one {LARGEST + 1}"),
        ({"a": {"content": 7}}, [], "not text"),
        ({"a": {"content": "${UNKNOWN}"}}, [], "${UNKNOWN} is not set"),
        ({"../a": {"content": "x"}}, [], "letters, digits"),
        (["a"], [], "not a mapping"),
        ({"a": {"content": "x"}}, ["b"], "there is no config 'b'"),
        ({"a": {"content": "x"}}, [{"source": "b"}], "there are: a"),
    ],
)
def test_what_can_t_be_shipped_is_named(tmp_path: Path, configs: Any, service: list[Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, configs, service)
    assert said in str(caught.value)
    assert str(tmp_path / "app.yaml") in str(caught.value)


@pytest.mark.parametrize("orchestrator", ["compose", "swarm"])
def test_another_text_is_another_release(tmp_path: Path, orchestrator: str) -> None:
    def compose(text: str) -> tuple[str, dict[str, str]]:
        config = builders.config(orchestrator=orchestrator, registry="registry.example.com/acme/links")
        data = {"services": {"web": {"configs": ["a"]}}, "configs": {"a": {"content": text}}}
        made = Draft(config, config.environment("prod"), data, {}, Image(reference="links:1"), "", "dev")
        release = made.release(previous=None, created=builders.NOW)
        return release.content, made.files(release)

    (one, files), (same, _), (two, _) = compose("x"), compose("x"), compose("y")
    assert one == same != two
    shipped = shipped_name("a", "x")
    declared = yaml.safe_load(files["compose.yaml"])["configs"]["a"]
    if orchestrator == "compose":
        assert (files[shipped], declared) == ("x", {"file": f"./{shipped}"})
    else:
        assert shipped not in files
        assert declared["external"] is True


async def test_an_accessory_s_config_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "hunter2")
    text = "services: {s: {image: x, configs: [c]}}\nconfigs: {c: {content: 'p=${PASSWORD}'}}\n"
    (tmp_path / "accessories.yaml").write_text(text)
    made = builders.config(tmp_path, secrets={"PASSWORD": "env:STORE_PASSWORD"})
    service = made.service.model_copy(update={"accessories": Path("accessories.yaml")})
    config = made.model_copy(update={"service": service})
    with pytest.raises(ConfigError, match="A secret can't be used here"):
        await read_accessories(config, config.environment("prod"))
