"""A machine as a provider hands it out, to be made a host: an sshd, a key for root, and nothing else."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from pathlib import Path
from typing import Any

from portside.command import run_command
from portside.image.bases import ensure_image
from portside.lab.hosts import FIRST_HOST, LABEL, _create_network, _make_key, _privileges
from portside.lab.values import Lab, LabHost
from tests.lab.project import Project

RECIPE = Path(__file__).parent / "plain_host"
IMAGE = "portside-plain-host"
BUILD_SECONDS = 600
SECONDS = 60


async def start_plain(name: str, state_dir: Path) -> Lab:
    await ensure_image("debian:trixie-slim", say=print)
    (await run_command(["docker", "build", "--tag", IMAGE, str(RECIPE)], timeout=BUILD_SECONDS)).check()
    public = await _make_key(state_dir, name)
    subnet, privileges = await _create_network(name), await _privileges(IMAGE)
    address = str(subnet[FIRST_HOST])
    run = [
        "docker", "run", "--detach", "--name", name, "--hostname", name, "--network", name, "--ip", address,
        "--label", f"{LABEL}={name}", "--env", f"AUTHORIZED_KEY={public}",
        "--tmpfs", "/run:exec", "--tmpfs", "/tmp:exec",
        "--mount", f"type=volume,src={name},dst=/var/lib/docker,volume-label={LABEL}={name}", *privileges, IMAGE,
    ]  # fmt: skip
    (await run_command(run, timeout=SECONDS)).check()
    key = ["docker", "exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"]
    answer = await run_command(key, timeout=SECONDS)
    while answer.exit_code != 0 or not answer.text:
        await asyncio.sleep(0.1)
        answer = await run_command(key, timeout=SECONDS)
    kind, blob, *_ = answer.text.split()
    host = LabHost(name=name, address=address, public_key=f"{kind} {blob}")
    lab = Lab(
        name=name,
        network=name,
        subnet=str(subnet),
        gateway=str(subnet[1]),
        hosts=(host,),
        state_dir=state_dir.resolve(),
    )
    lab.write()
    return lab


def bootstrap(plain: Project, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run host-bootstrap; its answer."""
    key = str(plain.lab.key) + ".pub"
    return plain.invoke("host-bootstrap", "--env", "lab", "--key", key, "--json", *arguments, code=code).data


def ssh(plain: Project, command: str, *options: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """What the deploy user's own ssh does with these options."""
    argv = [*prefix, "ssh", "-F", str(plain.lab.ssh_config), *options, plain.hosts[0].name, command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL)


def as_deploy(plain: Project, *argv: str) -> str:
    """The output of a command that the deploy user runs there."""
    done = ssh(plain, shlex.join(argv))
    assert done.returncode == 0, done.stderr
    return done.stdout
