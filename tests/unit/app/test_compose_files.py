"""The Compose files of the service, as the engine reads them."""

from __future__ import annotations

from pathlib import Path

import yaml

from portside.compose import read_compose, render
from portside.interpolation import named_variables
from tests.unit import builders

FOLDER = Path(__file__).parents[3] / "compose"


def test_a_release_of_them_is_read_only_and_its_accessories_ask_for_a_password_alone() -> None:
    config = builders.config()
    environment = config.environment("prod")
    read = read_compose(FOLDER / "app.yaml")
    text = render(read, config, environment, image="links:1", release="r1", variables={}, handed=(), configs={})
    assert yaml.safe_load(text)["services"]["web"]["read_only"]
    assert named_variables(read_compose(FOLDER / "accessories.yaml"), "f") == {"POSTGRES_PASSWORD": True}
