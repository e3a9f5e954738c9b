"""A project for the benchmark, in a folder of its own: two tags of a small service, environments on lab hosts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from portside.command import run_command
from portside.config import Config
from portside.image.bases import ensure_image, local_reference
from portside.lab.values import Lab
from portside.report import Reporter

SERVICE = Path(__file__).parent / "service"
TAGS = ("portside-bench:a", "portside-bench:b")
BUILD_SECONDS = 300.0


async def build_tags(config: Config, reporter: Reporter) -> None:
    """Two images that differ in one environment variable: a new version for both sides."""
    await ensure_image(config.images.runtime, say=reporter.say)
    runtime = await local_reference(config.images.runtime)
    for tag in TAGS:
        argv = ["docker", "build", "--quiet", "--build-arg", f"RUNTIME={runtime}", "--build-arg", f"TAG={tag}"]
        (await run_command([*argv, "--tag", tag, str(SERVICE)], timeout=BUILD_SECONDS)).check()


async def remove_tags() -> None:
    await run_command(["docker", "image", "rm", *TAGS], timeout=BUILD_SECONDS)


def write_project(folder: Path, config: Config, lab: Lab) -> None:
    """portside.toml with the environments `one`, `three` and `warm`, and the files that it names."""
    compose = folder / "compose"
    compose.mkdir(parents=True)
    shutil.copy2(config.root / "compose" / "proxy.yaml", compose)
    shutil.copy2(SERVICE / "compose.yaml", compose / "app.yaml")
    hosts = [host.name for host in lab.hosts]
    (folder / "portside.toml").write_text(
        f"""
[service]
name = "bench"
port = 8000
readiness = "/readiness"

[images]
proxy = {json.dumps(config.images.proxy)}

[defaults]
registry = "none"
bake = 0
http = "0.0.0.0:80"
ssh_config = {json.dumps(str(lab.ssh_config))}

[env.one]
hosts = {json.dumps(hosts[:1])}

[env.three]
hosts = {json.dumps(hosts)}
domain = "three.example.com"

[env.warm]
hosts = {json.dumps(hosts)}
domain = "warm.example.com"
keep_warm = true
"""
    )
