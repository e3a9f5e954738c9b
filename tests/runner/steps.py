"""One step: a script in bash with the files that a runner gives it, or a stand-in for an action of somebody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.runner.expressions import UnsupportedError
from tests.runner.workflow import Step

SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
# What a step gets of this machine's environment: how to reach package registries, and where their caches are.
INHERITED = (
    "PATH",
    "LANG",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "DOCKER_HOST",
)


@dataclass(frozen=True)
class Place:
    """What a job has for itself: its work tree, its home, the machine's variables. `artifacts` is one for all jobs."""

    workspace: Path
    home: Path
    artifacts: Path
    variables: Mapping[str, str]
    source: Path

    def environment(self, files: Path) -> dict[str, str]:
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "XDG_CACHE_HOME": cache,
            "HOME": str(self.home),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "a-developer",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/links",
            "GITHUB_RUN_ID": "1",
            "GITHUB_WORKSPACE": str(self.workspace),
            **self.variables,
            **{name: str(files / name) for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")},
        }


@dataclass(frozen=True)
class Done:
    """How a step went. `output` is what it printed; `summary` what it added to the job's page."""

    title: str
    outcome: str
    output: str = ""
    summary: str = ""


def run_script(
    script: str, env: Mapping[str, str], place: Place, *, title: str, seconds: float
) -> tuple[Done, dict[str, str]]:
    """Run it as a runner does; how it went, and what it wrote to GITHUB_OUTPUT. GITHUB_ENV must stay empty."""
    files = place.home / "_files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    environment = {**place.environment(files), **env}
    for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        (files / name).touch()
    (files / "script.sh").write_text(script)
    try:
        ended = subprocess.run(
            [*SHELL, str(files / "script.sh")],
            cwd=place.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        code, output = ended.returncode, ended.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        code, output = -1, (error.stdout or b"").decode(errors="replace") + f"\nnot done after {seconds:g} s"
    if (files / "GITHUB_ENV").read_text():
        raise UnsupportedError(f"{title}: GITHUB_ENV")
    outcome = "success" if code == 0 else "failure"
    done = Done(title, outcome, f"{output}[exit code {code}]\n", (files / "GITHUB_STEP_SUMMARY").read_text())
    return done, _outputs((files / "GITHUB_OUTPUT").read_text(), title)


def _outputs(text: str, title: str) -> dict[str, str]:
    outputs = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or "<<" in name:
            raise UnsupportedError(f"{title}: GITHUB_OUTPUT with {line}")
        outputs[name] = value
    return outputs


def run_action(step: Step, given: Mapping[str, str], place: Place) -> Done:
    """A stand-in for one of GitHub's own actions, or for uv's: the workflow's inputs, the same files afterwards."""
    name = step.uses.partition("@")[0]
    if name not in ACTIONS:
        raise UnsupportedError(step.uses)
    return Done(step.title, *ACTIONS[name](given, place))


def _check_out(given: Mapping[str, str], place: Place) -> tuple[str, str]:
    if given != {"persist-credentials": "false"}:
        raise UnsupportedError(f"actions/checkout with {given}")
    subprocess.run(["git", "clone", "--quiet", str(place.source), str(place.workspace)], check=True, timeout=60)
    return "success", f"stand-in: cloned {place.source}\n"


def _set_up_uv(_: Mapping[str, str], __: Place) -> tuple[str, str]:
    found = shutil.which("uv")
    return ("success", f"not run: uv is here, {found}\n") if found else ("failure", "uv is not on PATH\n")


def _upload(given: Mapping[str, str], place: Place) -> tuple[str, str]:
    known = {"name", "path", "include-hidden-files", "if-no-files-found", "retention-days"}
    if set(given) - known:
        raise UnsupportedError(f"actions/upload-artifact with {set(given) - known}")
    for path in given["path"].split():
        source, target = place.workspace / path, place.artifacts / given["name"] / path
        if not source.exists():
            return "failure", f"stand-in: there is no {path}\n"
        if path.startswith(".") and given.get("include-hidden-files") != "true":
            return "failure", f"stand-in: {path} is hidden\n"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    return "success", "stand-in: kept beside the jobs\n"


def _download(given: Mapping[str, str], place: Place) -> tuple[str, str]:
    if set(given) != {"name"}:
        raise UnsupportedError(f"actions/download-artifact with {given}")
    kept = place.artifacts / given["name"]
    if not kept.exists():
        return "failure", f"stand-in: there is no artifact {given['name']}\n"
    shutil.copytree(kept, place.workspace, dirs_exist_ok=True)
    return "success", "stand-in: copied from beside the jobs\n"


ACTIONS: dict[str, Callable[[Mapping[str, str], Place], tuple[str, str]]] = {
    "actions/checkout": _check_out,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
    "astral-sh/setup-uv": _set_up_uv,
}
