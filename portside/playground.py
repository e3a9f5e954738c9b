"""`invoke lab-up` and `invoke lab-down`: hosts to practise on, as the environment `lab`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from portside.cli import Terminal, number, project, run
from portside.config import GENERATED, Config, project_root
from portside.engine import ensure_engine
from portside.lab.hosts import running_labs, start_hosts, stop_hosts
from portside.lab.values import Lab, write_environment
from portside.report import timed

NAME = "lab"
ENV = "lab"
LABS = Path(".portside/labs")
MOST_HOSTS = 20
# What a lab has of its own, and a table that may have lists of tables in it.
NOT_COPIED = {"name", "hosts", "ssh_config", "known_hosts", "observe"}


def state_dir(root: Path, name: str) -> Path:
    """Where a lab keeps its key, its ssh_config and its list of hosts."""
    return root / LABS / name


def environment_file(root: Path, env: str) -> Path:
    return root / GENERATED / f"{env}.toml"


def secrets_file(root: Path, env: str) -> Path:
    """What `generated:` secrets of an environment are kept in (portside/secrets/generated.py)."""
    return root / ".portside" / "secrets" / f"{env}.json"


def environment_settings(config: Config, lab: Lab) -> dict[str, object]:
    """The keys of an environment on lab hosts, over those that `local` has now, where there is one.

    They are copied: with a reference to `local`, nothing could be read any more once that is gone. Lab hosts share no
    database: each runs the accessories itself, and knows only what was written through it. They end with the lab and
    are reached from this machine alone, so nobody hardens them.
    """
    local = config.env.get("local")
    copied = local.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=NOT_COPIED) if local else {}
    return copied | {
        "http": "0.0.0.0:80",
        "accessory_hosts": [host.name for host in lab.hosts],
        "harden": False,
    }


def lab_up_command(*, hosts: str, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        count = number(hosts, "--hosts", 1, MOST_HOSTS)
        await ensure_engine(terminal.reporter.say)
        with timed(terminal.reporter, "this machine", "lab"):
            where = state_dir(config.root, NAME)
            lab = await start_hosts(count, name=NAME, state_dir=where, say=terminal.reporter.say)
        try:
            write_environment(lab, environment_file(config.root, ENV), ENV, environment_settings(config, lab))
        except BaseException:
            await stop_hosts(NAME)
            raise
        terminal.result(lab_data(lab), lab_text(lab))

    run(act, machine=machine)


def lab_down_command(*, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        root = project_root(Path.cwd())
        there = NAME in await running_labs()
        await stop_hosts(NAME)
        forget(root, NAME, ENV)
        terminal.result(
            {"removed": there},
            "✓ The lab is gone. Its hosts' image stays, so that the next lab is up in seconds."
            if there
            else "There was no lab.",
        )

    run(act, machine=machine)


def forget(root: Path, name: str, env: str) -> None:
    """Remove the files of a lab that is gone, and of its environment."""
    forget_environment(root, env)
    shutil.rmtree(state_dir(root, name), ignore_errors=True)


def forget_environment(root: Path, env: str) -> None:
    environment_file(root, env).unlink(missing_ok=True)
    secrets_file(root, env).unlink(missing_ok=True)


def lab_data(lab: Lab) -> dict[str, Any]:
    return {
        "env": ENV,
        "ssh_config": str(lab.ssh_config),
        "hosts": [{"name": host.name, "address": host.address} for host in lab.hosts],
    }


def lab_text(lab: Lab) -> str:
    hosts = "\n".join(f"  {host.name}  http://{host.address}" for host in lab.hosts)
    return (
        f"✓ {len(lab.hosts)} hosts, each with an sshd and a Docker Engine:\n{hosts}\n"
        "  Each has a PostgreSQL of its own: a link made through one is not known to the others.\n"
        f"→ Release to them: invoke deploy --env {ENV}\n"
        f"→ Log in:          ssh -F {json.dumps(str(lab.ssh_config))} {lab.hosts[0].name}\n"
        "→ Remove them:     invoke lab-down"
    )
