"""The jobs of a workflow, in the order of their `needs`, with what GitHub knows at each point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from tests.runner.expressions import UnsupportedError, filled, holds
from tests.runner.steps import Done, Place, run_action, run_script
from tests.runner.workflow import Job, Workflow, read_workflow

STEP_SECONDS = 300.0
WORKFLOWS = Path(".github/workflows")


@dataclass(frozen=True)
class GitHub:
    """The repository's settings: secrets and variables of each environment. No secret is anywhere else.

    `sessions` are the matrix entries that are run; the others are named in `Run.not_run`. `variables` is what the
    machine adds to each step's environment.
    """

    secrets: Mapping[str, Mapping[str, str]]
    vars: Mapping[str, Mapping[str, str]]
    sessions: tuple[str, ...]
    variables: Mapping[str, str]
    context: Mapping[str, str] = field(
        default_factory=lambda: {"event_name": "push", "ref": "refs/heads/main", "token": "the job's own token"}
    )


@dataclass
class Run:
    """What became of a workflow. Jobs of a called one are `caller / job`; a matrix has a job per entry."""

    results: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[Done]] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)

    @property
    def green(self) -> bool:
        return all(result != "failure" for result in self.results.values())

    @property
    def log(self) -> str:
        lines = []
        for job, steps in self.steps.items():
            lines.append(f"=== {job}: {self.results[job]}")
            lines += [f"--- {step.title}: {step.outcome}\n{step.output}" for step in steps]
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        return "".join(step.summary for steps in self.steps.values() for step in steps)

    def outcomes(self, job: str) -> dict[str, str]:
        return {step.title: step.outcome for step in self.steps[job]}


class Runner:
    """Runs workflows of the git repository `source`, each job in a folder of its own below `folder`."""

    def __init__(self, source: Path, folder: Path, github: GitHub) -> None:
        self._source, self._folder, self._github = source, folder, github
        self._run = Run()

    def run(self, name: str) -> Run:
        self._folder.mkdir(parents=True)
        self._workflow(read_workflow(self._source / WORKFLOWS / name), prefix="", inputs={}, inherits=True)
        return self._run

    def _workflow(self, workflow: Workflow, *, prefix: str, inputs: Mapping[str, str], inherits: bool) -> str:
        """Run its jobs; how it went."""
        needs: dict[str, dict[str, Any]] = {}
        for name, job in workflow.jobs.items():
            if not set(job.needs) <= set(needs):
                raise UnsupportedError(f"{name} stands before what it needs")
            context = {
                "github": self._github.context | {"workflow": workflow.name},
                "inputs": inputs,
                "needs": {needed: needs[needed] for needed in job.needs},
            }
            before = [needs[needed]["result"] for needed in job.needs]
            so_far = "failure" if "failure" in before else "success" if set(before) <= {"success"} else "skipped"
            outputs: dict[str, str] = {}
            if not holds(job.condition, context, so_far=so_far):
                result = self._run.results[prefix + name] = "skipped"
            elif job.uses:
                called = read_workflow(self._source / WORKFLOWS / Path(job.uses.removeprefix("$/")).name)
                given = {key: filled(value, context) for key, value in job.given.items()}
                inherits_too = inherits and job.secrets == "inherit"
                result = self._workflow(called, prefix=f"{prefix}{name} / ", inputs=given, inherits=inherits_too)
            else:
                result, outputs = self._matrix(prefix + name, job, context, inherits=inherits)
            needs[name] = {"result": result, "outputs": outputs}
        ended = [needed["result"] for needed in needs.values()]
        return "failure" if "failure" in ended else "success" if "success" in ended else "skipped"

    def _matrix(self, name: str, job: Job, context: Mapping[str, Any], *, inherits: bool) -> tuple[str, dict[str, str]]:
        if job.strategy is None:
            return self._job(name, job, {**context, "matrix": {}}, inherits=inherits)
        results = []
        for values in product(*job.strategy.matrix.values()):
            entry = dict(zip(job.strategy.matrix, values, strict=True))
            title = f"{name} ({', '.join(values)})"
            if not set(values) <= set(self._github.sessions):
                self._run.not_run.append(title)
                continue
            results.append(self._job(title, job, {**context, "matrix": entry}, inherits=inherits)[0])
        return ("failure" if "failure" in results else "success"), {}

    def _job(self, name: str, job: Job, context: Mapping[str, Any], *, inherits: bool) -> tuple[str, dict[str, str]]:
        """Run a job's steps; how it went, and its outputs."""
        environment = filled(job.environment, context)
        # https://github.com/actions/runner/issues/1490: without `inherit` a called workflow has no secret at all.
        known = {
            **context,
            "secrets": self._github.secrets.get(environment, {}) if inherits else {},
            "vars": self._github.vars.get(environment, {}),
            "steps": {},
        }
        place = self._place(name)
        so_far, done = "success", self._run.steps.setdefault(name, [])
        for step in job.steps:
            outputs: dict[str, str] = {}
            if not holds(step.condition, known, so_far=so_far):
                ended = Done(step.title, "skipped")
            elif step.uses:
                ended = run_action(step, {key: filled(value, known) for key, value in step.given.items()}, place)
            else:
                if "${{" in step.run:
                    raise UnsupportedError(f"{step.title}: an expression inside of a script")
                env = {key: filled(value, known) for key, value in step.env.items()}
                ended, outputs = run_script(step.run, env, place, title=step.title, seconds=STEP_SECONDS)
            if step.id:
                known["steps"][step.id] = {"outcome": ended.outcome, "outputs": outputs}
            if ended.outcome == "failure":
                so_far = "failure"
            done.append(ended)
        self._run.results[name] = so_far
        return so_far, {key: filled(value, known) for key, value in job.outputs.items()}

    def _place(self, name: str) -> Place:
        folder = self._folder / "".join(letter if letter.isalnum() else "-" for letter in name)
        workspace, home = folder / "work", folder / "home"
        workspace.mkdir(parents=True)
        home.mkdir()
        return Place(workspace, home, self._folder / "artifacts", self._github.variables, self._source)
