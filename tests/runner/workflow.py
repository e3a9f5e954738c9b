"""A workflow file as values. A key that the runner doesn't know is an error, so that nothing is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


Text = Annotated[str, BeforeValidator(_as_text)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Concurrency(Model):
    group: str
    cancel_in_progress: bool | str = Field(alias="cancel-in-progress")


class Step(Model):
    """`run` or `uses`. What `with` holds is text, as an action gets it."""

    name: str = ""
    id: str = ""
    condition: str = Field("", alias="if")
    uses: str = ""
    given: dict[str, Text] = Field({}, alias="with")
    run: str = ""
    env: dict[str, str] = {}

    @property
    def title(self) -> str:
        return self.name or self.uses.partition("@")[0] or self.run.splitlines()[0]


class Strategy(Model):
    fail_fast: bool = Field(alias="fail-fast")
    matrix: dict[str, list[str]]


class Job(Model):
    """Steps of its own, or (`uses`) those of another workflow."""

    name: str
    needs: Annotated[tuple[str, ...], BeforeValidator(lambda needs: (needs,) if isinstance(needs, str) else needs)] = ()
    condition: str = Field("", alias="if")
    permissions: dict[str, str]
    strategy: Strategy | None = None
    concurrency: Concurrency | None = None
    environment: str = ""
    outputs: dict[str, str] = {}
    runs_on: str = Field("", alias="runs-on")
    timeout_minutes: int = Field(0, alias="timeout-minutes")
    steps: tuple[Step, ...] = ()
    uses: str = ""
    given: dict[str, str] = Field({}, alias="with")
    secrets: Literal["", "inherit"] = ""


class Shell(Model):
    shell: Literal["bash"]


class Defaults(Model):
    run: Shell


class Workflow(Model):
    """One file of .github/workflows."""

    name: str
    on: dict[str, Any]
    permissions: dict[str, str]
    concurrency: Concurrency | None = None
    defaults: Defaults
    jobs: dict[str, Job]


def read_workflow(path: Path) -> Workflow:
    data = yaml.safe_load(path.read_text())
    # YAML 1.1 takes the key `on` for a boolean.
    data["on"] = data.pop(True)
    return Workflow.model_validate(data)
