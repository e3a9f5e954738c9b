"""Every page: its links lead somewhere, its commands exist with their options, its shell can be typed.

Whether commands do what a page says is for the other tests.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType

import nox.registry
import pytest
from invoke import Argument, Collection

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("**/*.md"), *ROOT.glob("*.md"), *(ROOT / "app").glob("**/*.md")])
INVOKE = re.compile(
    r"invoke ([a-z][a-z-]*(?:\.[a-z][a-z-]*)*)(?![<\w-])"  # the task
    r"((?: +(?:--?[a-z][a-z-]*|[^-\s`;|&#][^\s`;|&#]*))*)"  # its options and their values
)
NOX = re.compile(r"\bnox -s((?: +[a-z]+)+)")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}; there are {sorted(anchors(there))}"


@every_page
def test_every_invoke_command_is_a_task_with_these_options(page: Path) -> None:
    tasks = Collection.from_module(loaded("tasks"))
    for name, options in INVOKE.findall(code(page)):
        if name == "list":
            continue
        assert name in tasks.task_names, f"{page.name}: invoke {name}"
        known = {flag for argument in tasks[name].get_arguments() for flag in flags(argument)}
        for option in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", options):
            assert option in known | {"--help"}, f"{page.name}: invoke {name} {option}"


@pytest.fixture(scope="module")
def sessions() -> set[str]:
    loaded("noxfile")
    return set(nox.registry.get())


@every_page
def test_every_nox_command_names_sessions(page: Path, sessions: set[str]) -> None:
    for names in NOX.findall(code(page)):
        assert set(names.split()) <= sessions, f"{page.name}: nox -s{names}"


@every_page
def test_shell_blocks_can_be_typed(page: Path) -> None:
    """As bash reads them; nothing is run."""
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        read = subprocess.run(["bash", "-n"], input=block.encode(), capture_output=True, check=False, timeout=10)
        assert read.returncode == 0, f"{page.name}: {read.stderr.decode()}\n{block}"


def code(page: Path) -> str:
    """What is in backticks and in code blocks."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), flags=re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.*?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def flags(argument: Argument) -> set[str]:
    return {f"--{name.replace('_', '-')}" for name in argument.names}


@cache
def loaded(name: str) -> ModuleType:
    """A module of the repository's folder, by its file. Once: nox registers each session that it meets."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
