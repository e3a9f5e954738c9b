"""What zizmor and the schemas of `nox -s lint` can't know of the workflows: whether they fit this repository."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.runner.expressions import holds
from tests.runner.workflow import Workflow, read_workflow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: read_workflow(path) for path in sorted(FOLDER.glob("*.yml"))}
TEXT = "\n".join((FOLDER / name).read_text() for name in WORKFLOWS)


def test_each_action_has_one_sha_and_names_its_version() -> None:
    pins: dict[str, set[str]] = {}
    for action, rest in re.findall(r"uses: ([^@\s]+)(@.*)", TEXT):
        pins.setdefault(action, set()).add(rest)
    assert set(pins) == {
        "actions/checkout",
        "actions/upload-artifact",
        "actions/download-artifact",
        "astral-sh/setup-uv",
    }
    for action, found in pins.items():
        assert len(found) == 1, f"{action}: {found}"
        assert re.fullmatch(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+", *found)


def test_one_version_of_uv_builds_the_image_and_runs_the_gates() -> None:
    (in_image,) = re.findall(r"ARG UV_VERSION=(\S+)", (ROOT / "Dockerfile").read_text())
    assert set(re.findall(r'version: "(\d+\.\d+\.\d+)"', TEXT)) == {in_image}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_secrets_are_in_jobs_with_an_environment_only(name: str) -> None:
    for title, job in WORKFLOWS[name].jobs.items():
        used = {
            word for step in job.steps for value in step.env.values() for word in re.findall(r"secrets\.\w+", value)
        }
        assert job.environment or not used, f"{title}: {used}"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_do_nothing_and_says_for_each_job_what_it_may(name: str) -> None:
    assert WORKFLOWS[name].permissions == {}
    for title, job in WORKFLOWS[name].jobs.items():
        may = {scope for scope, access in job.permissions.items() if access == "write"}
        assert may <= ({"issues"} if title == "issue" else set()), title


def test_what_builds_and_scans_has_no_secret_and_takes_nothing_from_a_cache() -> None:
    job = WORKFLOWS["release.yml"].jobs["build"]
    assert not job.environment
    assert all(step.given.get("enable-cache", "false") == "false" for step in job.steps)


def test_staging_and_production_are_the_same_steps_with_the_same_image() -> None:
    staging, production = (WORKFLOWS["release.yml"].jobs[name] for name in ("staging", "prod"))
    assert staging.uses == production.uses == "$/.github/workflows/ship.yml"
    assert staging.given["image"] == production.given["image"] == "${{ needs.push.outputs.image }}"
    assert set(production.needs) >= {"staging"}
    ship = WORKFLOWS["ship.yml"].jobs["ship"].concurrency
    assert ship is not None
    assert (ship.group, ship.cancel_in_progress) == ("ship-${{ inputs.environment }}", False)


def test_gates_are_the_sessions_that_nox_runs_by_default_and_the_long_ones() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    (listed,) = re.findall(r"nox\.options\.sessions = \[(.*)\]", noxfile)
    (parts,) = re.findall(r"PARTS = \((.*)\)", noxfile)
    strategy = WORKFLOWS["ci.yml"].jobs["gates"].strategy
    assert strategy is not None
    assert strategy.matrix == {"session": re.findall(r'"(\w+)"', f"{listed} {parts}")}


def test_gates_are_what_the_ruleset_demands_of_a_pull_request_and_what_the_page_lists() -> None:
    strategy = WORKFLOWS["ci.yml"].jobs["gates"].strategy
    assert strategy is not None
    page = (ROOT / "docs/pipeline.md").read_text()
    assert re.findall(r'\{"context": "(\w+)"\}', page) == strategy.matrix["session"]
    (listed,) = re.findall(r"`nox -s ([^.]+)`\.", page)
    assert listed.split("`, `") == strategy.matrix["session"]


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ship.yml", "tasks.py", "pyproject.toml", "uv.lock", "portside.toml", "portside/cli.py",
        "compose/app.yaml", "observability/agent.yaml", "Dockerfile", "a_new_module.py",
    ],
)  # fmt: skip
def test_what_jobs_with_credentials_execute_is_the_platform_team_s(path: str) -> None:
    lines = [line.split() for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line[0] != "#"]
    # A pattern that begins with a slash is one of the whole path, a folder's of all that is in it.
    patterns = [(f"{pattern}*" if pattern.endswith("/") else pattern, owner) for pattern, owner in lines]
    owners = [owner for pattern, owner in patterns if fnmatch(f"/{path}", pattern)]
    assert owners[-1] == "@acme/platform"


def test_secrets_of_the_environment_reach_the_steps_that_read_them() -> None:
    settings = tomllib.loads((ROOT / "portside.toml").read_text())
    shipped = {
        reference.removeprefix("env:")
        for name in ("staging", "prod")
        for reference in settings["env"][name].get("secrets", {}).values()
        if reference.startswith("env:")
    }
    told = {
        block[key].removeprefix("env:")
        for block in settings.get("notify", {}).values()
        for key in ("secret", "signing_secret")
        if block.get(key, "").startswith("env:")
    }
    assert shipped | told <= passed(WORKFLOWS["ship.yml"], "Deploy")
    assert told <= passed(WORKFLOWS["ship.yml"], "Roll back")
    # What opens the files of a notifier's `sops:` secret, and of the service's.
    for workflow, step in (("ship.yml", "Deploy"), ("ship.yml", "Roll back"), ("drift.yml", "Plan")):
        assert "SOPS_AGE_KEY" in passed(WORKFLOWS[workflow], step)
    production = {name.removeprefix("env:") for name in settings["env"]["prod"].get("secrets", {}).values()}
    assert production <= passed(WORKFLOWS["drift.yml"], "Plan")


def passed(workflow: Workflow, title: str) -> set[str]:
    """The variables that the step gets of the same name's secret."""
    (step,) = (step for job in workflow.jobs.values() for step in job.steps if step.name == title)
    return {name for name, value in step.env.items() if value == f"${{{{ secrets.{name} }}}}"}


@pytest.mark.parametrize(
    ("so_far", "deployed", "smoke", "rolled_back"),
    [
        ("success", "released", "success", False),
        ("failure", "released", "failure", True),
        ("cancelled", "released", "cancelled", True),
        ("cancelled", "released", "skipped", True),
        ("cancelled", "released", "success", False),
        ("failure", "unchanged", "failure", False),
        ("cancelled", "", "skipped", False),
    ],
)
def test_what_was_released_and_not_seen_to_work_is_rolled_back(
    so_far: str, deployed: str, smoke: str, rolled_back: bool
) -> None:
    (job,) = WORKFLOWS["ship.yml"].jobs.values()
    (step,) = (step for step in job.steps if step.name == "Roll back")
    known = {"steps": {"deploy": {"outputs": {"outcome": deployed}}, "smoke": {"outcome": smoke}}}
    assert holds(step.condition, known, so_far=so_far) is rolled_back
