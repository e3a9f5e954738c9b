"""Whatever portside.toml holds, it is a configuration or an error that says what is wrong with it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portside.config import Config, load_config
from portside.errors import ConfigError, PortsideError
from tests.toml import text
from tests.unit.fuzz.examples import FUZZED, HOSTILE_TEXT, damaged

REAL = (Path(__file__).parents[3] / "portside.toml").read_text()

NAMES = sorted(
    {"service", "images", "build", "env", "defaults", "observe", "judge", "notify", "scan", "signing", "root"}
)
KEYS = sorted(
    {
        name
        for model in (Config, *(field.annotation for field in Config.model_fields.values()))
        for name in getattr(model, "model_fields", {})
    }
    | {
        "extends",
        "hosts",
        "ssh_config",
        "registry",
        "domain",
        "canary",
        "bake",
        "max_parallel",
        "secrets",
        "receivers",
        "slo",
        "prod",
    }
)
SCALARS = st.one_of(
    HOSTILE_TEXT,
    st.sampled_from(
        ["~nobody-of-this-name/x", "env:X", "a@b:99999", "0.0.0.0:80", "slack", "acme", "prod", "2026-02-30"]
    ),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | HOSTILE_TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
TABLES = st.dictionaries(
    st.sampled_from(NAMES), VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), max_size=4
)


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{text(key)} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("e+", "e")
    return text(value) if isinstance(value, str) else json.dumps(value)


def read(content: str) -> Config | PortsideError:
    """What comes of a portside.toml; anything but these two fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "portside.toml").write_bytes(content.encode(errors="surrogatepass"))
        try:
            return load_config(Path(folder))
        except ConfigError as error:
            assert error.where
            return error


@FUZZED
@given(TABLES)
@example({"service": {"name": "a"}, "env": {"prod": {"ssh_config": "~nobody-of-this-name/x"}}})
@example({"service": {"name": "a"}, "env": {"prod": {"env": {"A": "nul \x00"}}}})
def test_any_table_is_a_configuration_or_an_error_that_says_where(tables: dict[str, Any]) -> None:
    content = "".join(f"{name} = {toml(value)}\n" for name, value in tables.items())
    found = read(content)
    assert "\x00" not in str(found)


@FUZZED
@given(damaged(REAL))
def test_a_damaged_file_is_a_configuration_or_an_error_that_says_where(content: str) -> None:
    read(content)


@pytest.mark.parametrize("content", [f"a = {'[' * 5000}", f"a = {'9' * 5000}", "a = 2026-13-99", "\udcff"])
def test_what_breaks_a_parser_is_an_error_that_says_where(content: str) -> None:
    assert isinstance(read(content), ConfigError)
