"""Whatever a Compose file holds, it becomes a release or an error that says where; an image name is one or isn't."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portside.compose import images, read_compose, render, roles
from portside.errors import ConfigError
from portside.image.reference import parse_reference
from portside.interpolation import named_variables
from tests.unit import builders
from tests.unit.fuzz.examples import FUZZED, HOSTILE_TEXT, damaged

REAL = (Path(__file__).parents[3] / "compose/app.yaml").read_text()
KEYS = ["services", "web", "deploy", "replicas", "update_config", "order", "volumes", "labels", "environment", "image",
        "command", "ports", "networks", "healthcheck", "source", "type", "tmpfs"]  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        HOSTILE_TEXT,
        st.dates(),
        st.sampled_from(["${A}", "$${A}", "${A:-b}", "/data", "start-first"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | HOSTILE_TEXT | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)


def release_of(content: bytes) -> str | ConfigError:
    """The rendered file, or the error; anything else fails the test."""
    config = builders.config()
    environment = config.environment("prod")
    variables = {"A": "b"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.yaml"
        path.write_bytes(content)
        try:
            data = read_compose(path)
            (
                named_variables(data, str(path)),
                images(data, {"A": "b"}, str(path)),
                roles(data, config, environment, {"A": "b"}),
            )
            return render(
                data,
                config,
                environment,
                image="links:1",
                release="r1",
                variables=variables,
                handed=("A",),
                configs={},
            )
        except ConfigError as error:
            assert error.where
            return error


@FUZZED
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3), VALUES, VALUES)
def test_any_mapping_becomes_a_release_or_an_error_that_says_where(top: dict[str, Any], web: Any, deploy: Any) -> None:
    data = {**top, "services": {"web": {"deploy": deploy, **web} if isinstance(web, dict) else web}}
    found = release_of(yaml.safe_dump(data, allow_unicode=True).encode())
    if isinstance(found, str):
        rendered = yaml.safe_load(found)["services"]["web"]
        assert rendered["pull_policy"] == "never"
        assert rendered["labels"]["dev.portside.site"] == "links-prod"


@settings(FUZZED, max_examples=FUZZED.max_examples // 2)  # PyYAML takes its time for a whole file
@given(damaged(REAL))
@example("services: &a {web: *a}")
@example("services: {web: {x: 2026-13-99}}")
@example("services: {web: {deploy: {replicas: 1000000000}}}")
@example("[" * 1000)
def test_a_damaged_compose_file_becomes_a_release_or_an_error_that_says_where(content: str) -> None:
    release_of(content.encode())


@given(st.binary(max_size=60))
@FUZZED
def test_bytes_that_are_no_text_are_an_error_that_says_where(content: bytes) -> None:
    release_of(content)


def test_a_folder_in_a_compose_file_s_place_is_an_error_that_says_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_compose(tmp_path)
    assert str(tmp_path) in caught.value.where


@FUZZED
@given(HOSTILE_TEXT | damaged("registry.example.com:5000/acme/links:v1.2@sha256:" + "a" * 64))
def test_an_image_name_is_one_or_an_error_and_never_more_than_one_word(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ConfigError:
        return
    assert text.startswith(reference.name)
    assert not set(text) & set(" \n\t'\"`$;|&<>\\*?(){}[]")
    assert not text.startswith("-")
