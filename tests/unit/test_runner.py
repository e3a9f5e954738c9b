"""The runner of the pipeline's tests does as GitHub does, and refuses what it doesn't know."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.runner.expressions import UnsupportedError, evaluate, filled, holds
from tests.runner.jobs import GitHub, Runner
from tests.runner.workflow import read_workflow

CALLER = """
name: caller
on: {push: {}}
permissions: {}
defaults: {run: {shell: bash}}
jobs:
  first:
    name: First
    runs-on: ubuntu-24.04
    permissions: {}
    outputs: {said: "${{ steps.say.outputs.word }}"}
    steps:
      - id: say
        run: echo "word=hello" >> "$GITHUB_OUTPUT"
  called:
    name: Called
    needs: first
    permissions: {}
    uses: $/.github/workflows/called.yml
    with: {word: "${{ needs.first.outputs.said }}"}
    INHERIT
  last:
    name: Last
    needs: called
    runs-on: ubuntu-24.04
    permissions: {}
    steps: [{run: "true"}]
"""
CALLED = """
name: called
on: {workflow_call: {inputs: {word: {type: string}}}}
permissions: {}
defaults: {run: {shell: bash}}
jobs:
  only:
    name: Only
    runs-on: ubuntu-24.04
    environment: prod
    permissions: {}
    steps:
      - name: Fail without a secret
        run: 'test "$WORD $KEY" = "hello key"'
        env: {WORD: "${{ inputs.word }}", KEY: "${{ secrets.KEY }}"}
      - name: After it
        run: "true"
      - name: Only then
        if: failure()
        run: "true"
      - name: Whatever happens
        if: always()
        run: "true"
"""


@pytest.mark.parametrize(
    ("inherit", "results", "outcomes"),
    [
        ("secrets: inherit", ["success", "success", "success"], ["success", "success", "skipped", "success"]),
        ("", ["success", "failure", "skipped"], ["failure", "skipped", "success", "success"]),
    ],
)
def test_jobs_and_steps_go_on_as_on_github(
    tmp_path: Path, inherit: str, results: list[str], outcomes: list[str]
) -> None:
    folder = tmp_path / "source/.github/workflows"
    folder.mkdir(parents=True)
    (folder / "caller.yml").write_text(CALLER.replace("INHERIT", inherit))
    (folder / "called.yml").write_text(CALLED)
    github = GitHub(secrets={"prod": {"KEY": "key"}}, vars={}, sessions=(), variables={})
    run = Runner(tmp_path / "source", tmp_path / "run", github).run("caller.yml")
    assert list(run.results.values()) == results, run.log
    assert list(run.outcomes("called / only").values()) == outcomes


def test_what_is_not_there_is_empty_where_github_says_so_and_an_error_elsewhere() -> None:
    contexts = {"secrets": {}, "needs": {"push": {"outputs": {}}}, "inputs": {}}
    assert filled("<${{ secrets.KEY }}${{ needs.push.outputs.image }}>", contexts) == "<>"
    for unknown in ("inputs.image", "needs.pull.outputs.image", "github.actor"):
        with pytest.raises(UnsupportedError):
            evaluate(unknown, contexts)


@pytest.mark.parametrize("expression", ["hashFiles('uv.lock')", "(a || b", "inputs.x > 'y'", "a)", "1"])
def test_what_no_workflow_here_uses_is_refused(expression: str) -> None:
    with pytest.raises(UnsupportedError):
        holds(expression, {"inputs": {"x": "y"}, "a": "", "b": ""}, so_far="success")


def test_a_key_that_the_runner_does_not_know_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "workflow.yml"
    file.write_text(CALLER.replace("INHERIT", "").replace('run: "true"', 'run: "true", continue-on-error: true'))
    with pytest.raises(ValidationError, match="continue-on-error"):
        read_workflow(file)
