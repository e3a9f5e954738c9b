"""References are taken apart the way Docker takes them apart."""

from __future__ import annotations

import pytest

from portside.errors import ConfigError
from portside.image.reference import parse_reference
from portside.image.registry import PASSWORD, USERNAME, variables_for
from portside.release import Image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "tag", "digest"),
    [
        ("caddy", "docker.io/library/caddy", "latest", ""),
        ("postgres:17", "docker.io/library/postgres", "17", ""),
        ("grafana/loki:3.7", "docker.io/grafana/loki", "3.7", ""),
        ("gcr.io/distroless/python3-debian13:nonroot", "gcr.io/distroless/python3-debian13", "nonroot", ""),
        ("localhost:5000/links:sha-1", "localhost:5000/links", "sha-1", ""),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "latest", ""),
        (f"python:3.13@{DIGEST}", "docker.io/library/python", "3.13", DIGEST),
        (f"ghcr.io/o/app@{DIGEST}", "ghcr.io/o/app", "latest", DIGEST),
    ],
)
def test_a_reference_is_registry_repository_tag_and_digest(text: str, canonical: str, tag: str, digest: str) -> None:
    reference = parse_reference(text)
    assert (reference.canonical, reference.tag, reference.digest) == (canonical, tag, digest)


def test_an_assembled_image_is_kept_under_its_name_without_the_digest() -> None:
    assert parse_reference(f"gcr.io/x/y:1@{DIGEST}").tagged == "gcr.io/x/y:1"


@pytest.mark.parametrize("text", ["", "a b", "-x", "app@sha256:123", "app:"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an image reference"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("registry", "reference", "lent"),
    [
        ("ghcr.io/acme/links", "ghcr.io/acme/links@sha256:" + "1" * 64, True),
        ("ghcr.io/acme/links", "ghcr.io/other/thing:1", True),
        ("ghcr.io/acme/links", "elsewhere.example/links:1", False),
        ("ghcr.io/acme/links", "links:1", False),
        ("none", "elsewhere.example/links:1", False),
    ],
)
def test_a_registry_s_password_is_for_that_registry_alone(registry: str, reference: str, lent: bool) -> None:
    given = {USERNAME: "me", PASSWORD: "hunter2", "PATH": "/bin"}
    left = variables_for(reference, registry, given)
    assert left["PATH"] == "/bin"
    assert (USERNAME in left, PASSWORD in left) == (lent, lent)


def test_a_name_made_of_the_id_can_only_mean_that_image() -> None:
    image = Image(reference="links:sha-0123456789ab", id="sha256:0123456789abcdef")
    assert image.named_by_content
    assert not image.model_copy(update={"reference": "links:latest"}).named_by_content
    assert not image.model_copy(update={"id": ""}).named_by_content
    assert Image(reference="links@sha256:" + "1" * 64).named_by_content
