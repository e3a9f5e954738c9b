"""A build is a value first; a failed one says which step and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.image.bases import default_ca_bundle
from portside.image.build import BuildSpec, Source, plan_build, without_credentials
from portside.image.buildx import Build, failure

SPEC = BuildSpec(Path("/x"), Path("/x/Dockerfile"), "links", "builder:1", "runtime:1")
SOURCE = Source("abc", 1_700_000_000, "https://example.org/team/links")

LOG = """\
#9 [dependencies 4/4] RUN uv sync --locked
#9 0.533 error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.
#9 ERROR: process "/bin/sh -c uv sync --locked" did not complete successfully: exit code: 1
------
 > [dependencies 4/4] RUN uv sync --locked:
0.533 error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.
------
Dockerfile:27
--------------------
  26 |     WORKDIR /build
  27 | >>> RUN uv sync --locked
--------------------
ERROR: failed to solve: process "/bin/sh -c uv sync --locked" did not complete successfully: exit code: 1
"""


def test_the_time_of_an_image_is_the_time_of_its_commit() -> None:
    plan = plan_build(SPEC, SOURCE, revision="abc", version="1.2")
    assert plan.labels["org.opencontainers.image.created"] == "2023-11-14T22:13:20+00:00"
    assert plan.arguments["SOURCE_DATE_EPOCH"] == "1700000000"


def test_an_image_says_where_it_comes_from() -> None:
    labels = plan_build(SPEC, SOURCE, revision="abc-dirty", version="1.2").labels
    assert labels["org.opencontainers.image.revision"] == "abc-dirty"
    assert labels["org.opencontainers.image.version"] == "1.2"
    assert labels["org.opencontainers.image.source"] == "https://example.org/team/links"


def test_the_ca_travels_as_a_secret_and_nothing_secret_as_an_argument() -> None:
    build = Build(Path("/x"), Path("/x/Dockerfile"), ca_bundle=Path("/etc/company.pem"))
    argv = build.argv("default", Path("/tmp/id"))
    assert argv[argv.index("--secret") + 1] == "id=ca,src=/etc/company.pem"
    assert "--build-arg" not in argv


def test_a_failed_build_names_the_step_and_shows_its_last_lines() -> None:
    step, output = failure(LOG)
    assert step == "[dependencies 4/4] RUN uv sync --locked"
    assert output == "0.533 error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided."


def test_a_failure_without_a_step_shows_the_end_of_the_log() -> None:
    assert failure("a\nERROR: no such builder") == ("", "a\nERROR: no such builder")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:token@example.org/x.git", "https://example.org/x.git"),
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("git@example.org:team/x.git", "git@example.org:team/x.git"),
        ("", ""),
    ],
)
def test_a_token_in_a_remotes_address_stays_out_of_the_labels(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_the_ca_bundle_of_the_environment_is_used_when_none_is_configured(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    environ = {"PIP_CERT": "/nowhere", "SSL_CERT_FILE": str(bundle)}
    assert default_ca_bundle(None, environ) == bundle
    assert default_ca_bundle(Path("/mine.pem"), environ) == Path("/mine.pem")
    assert default_ca_bundle(None, {}) is None
