"""Run `docker buildx build`, and say which step failed."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portside.command import run_command, tail
from portside.errors import BuildError

BUILD_SECONDS = 1800.0
QUESTION_SECONDS = 30.0

_FAILED_STEP = re.compile(r"^ > (?P<step>.+?):?$", re.MULTILINE)
_FAILED_OUTPUT = re.compile(r"^------\n > .*?$\n(?P<output>.*?)^------$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Build:
    """One invocation of the builder. `arguments` are build arguments, and never secrets."""

    context: Path
    dockerfile: Path
    tags: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None
    platform: str | None = None

    def argv(self, builder: str, told: Path) -> tuple[str, ...]:
        """`told` is the file that the builder writes what it made into."""
        argv = ["docker", "buildx", "build", "--builder", builder, "--load", "--progress", "plain"]
        # Attestations hold the time of the build, and turn a plain manifest into an index.
        argv += ["--provenance", "false", "--sbom", "false", "--metadata-file", str(told)]
        argv += ["--file", str(self.dockerfile)]
        for key, value in sorted(self.arguments.items()):
            argv += ["--build-arg", f"{key}={value}"]
        for key, value in sorted(self.labels.items()):
            argv += ["--label", f"{key}={value}"]
        for tag in self.tags:
            argv += ["--tag", tag]
        if self.platform:
            argv += ["--platform", self.platform]
        if self.ca_bundle:
            argv += ["--secret", f"id=ca,src={self.ca_bundle}"]
        return (*argv, str(self.context))


async def build(plan: Build) -> str:
    """Build and load into the local Engine; returns the image id. BuildError names the step that failed."""
    # The builder inside the Engine: another one wouldn't see images that are only there.
    context = await run_command(["docker", "context", "show"], timeout=QUESTION_SECONDS)
    with tempfile.TemporaryDirectory(prefix="portside-build-") as scratch:
        told = Path(scratch) / "told.json"
        result = await run_command(plan.argv(context.text or "default", told), timeout=BUILD_SECONDS)
        if result.exit_code != 0:
            step, output = failure(result.stderr.decode(errors="replace"))
            raise BuildError(
                f"the build failed at: {step}" if step else "the build failed",
                where=str(plan.dockerfile),
                why=output,
                remedy=_remedy(output),
            )
        # What the Engine itself calls the image: --iidfile always has the configuration's digest, by which an Engine
        # that keeps images in containerd doesn't know it.
        made = json.loads(told.read_text())
        return str(made.get("containerimage.digest") or made["containerimage.config.digest"])


def failure(log: str) -> tuple[str, str]:
    """The failing step and the last lines it wrote, from a log of `--progress plain`."""
    step = _FAILED_STEP.search(log)
    output = _FAILED_OUTPUT.search(log)
    text = output["output"] if output and output["output"].strip() else log
    return (step["step"][:200] if step else "", tail(text))


def _remedy(output: str) -> str:
    lowered = output.lower()
    if "certificate" in lowered and ("verify" in lowered or "unknown" in lowered or "issuer" in lowered):
        return "Behind a TLS-inspecting proxy: set `ca_bundle` under [build] in portside.toml to its CA bundle."
    if "lockfile" in lowered and "--locked" in lowered:
        return "Type `uv lock` and commit uv.lock."
    return ""
