"""`invoke lab-up` and `invoke lab-down`: hosts to practise on, as the environment `lab`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from portside.cli import Terminal, number, project, run
from portside.config import GENERATED, Config, Environment, load_config, project_root
from portside.engine import ensure_engine
from portside.errors import ConfigError
from portside.lab.hosts import running_labs, start_hosts, stop_hosts
from portside.lab.values import Lab, write_environment
from portside.report import timed

NAME = "lab"
ENV = "lab"
LABS = Path(".portside/labs")
MOST_HOSTS = 20
# Lab hosts are new, end with their lab, and are reached from this machine alone: no certificate is for them, no
# registry or Swarm knows them, nobody hardens them, and what a release has to have passed elsewhere it needn't here.
OWN: dict[str, object] = {
    "hosts": (),
    "accessory_hosts": (),
    "orchestrator": "compose",
    "registry": "none",
    "http": "0.0.0.0:80",
    "https": None,
    "require_scan": False,
    "require_signature": False,
    "harden": False,
}
# What write_environment says of its hosts, and where people reach `local`, which isn't there.
NOT_COPIED = {"name", "hosts", "accessory_hosts", "ssh_config", "known_hosts", "url"}


def state_dir(root: Path, name: str) -> Path:
    """Where a lab keeps its key, its ssh_config and its list of hosts."""
    return root / LABS / name


def environment_file(root: Path, env: str) -> Path:
    return root / GENERATED / f"{env}.toml"


def secrets_file(root: Path, env: str) -> Path:
    """What `generated:` secrets of an environment are kept in (portside/secrets/generated.py)."""
    return root / ".portside" / "secrets" / f"{env}.json"


def environment_settings(config: Config) -> dict[str, object]:
    """The keys of an environment on lab hosts, over those that `local` has now, or else `[defaults]`.

    They are copied: with a reference to `local`, nothing could be read any more once that is gone. Raises ConfigError
    where they are no environment, which a lab's file would keep every command from reading.
    """
    local = config.env.get("local")
    try:
        made = load_config(config.root, {ENV: (_copied(local) if local else {}) | OWN}).environment(ENV)
    except ConfigError as error:
        raise ConfigError(
            "there can be no lab",
            where=error.where,
            why=error.why or error.what,
            remedy="A lab has what [env.local] says, or else what [defaults] say alone: "
            "correct it there, or add an [env.local].",
        ) from None
    return _copied(made)


def _copied(environment: Environment) -> dict[str, object]:
    return environment.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True, exclude=NOT_COPIED)


def lab_up_command(*, hosts: str, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        count = number(hosts, "--hosts", 1, MOST_HOSTS)
        settings = environment_settings(config)
        await ensure_engine(terminal.reporter.say)
        with timed(terminal.reporter, "this machine", "lab"):
            where = state_dir(config.root, NAME)
            lab = await start_hosts(count, name=NAME, state_dir=where, say=terminal.reporter.say)
        try:
            write_environment(lab, environment_file(config.root, ENV), ENV, settings)
        except BaseException:
            await stop_hosts(NAME)
            raise
        terminal.result(lab_data(lab), lab_text(lab, config.service.accessories))

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


def lab_text(lab: Lab, accessories: Path | None) -> str:
    hosts = "\n".join(f"  {host.name}  http://{host.address}" for host in lab.hosts)
    own = f"  Each has the accessories ({accessories}) for itself: the others don't know what is in them.\n"
    return (
        f"✓ {len(lab.hosts)} hosts, each with an sshd and a Docker Engine:\n{hosts}\n"
        f"{own if accessories else ''}"
        f"→ Release to them: invoke deploy --env {ENV}\n"
        f"→ Log in:          ssh -F {json.dumps(str(lab.ssh_config))} {lab.hosts[0].name}\n"
        "→ Remove them:     invoke lab-down"
    )
