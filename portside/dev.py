"""`invoke dev`: the service on this machine, without Docker, reloaded whenever a file of it changes."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from portside.cli import Terminal, number, project, run
from portside.errors import ConfigError

ADDRESS = "127.0.0.1"
DATABASE = Path(".portside/dev.db")
ENTRY = Path("app/asgi.py")


def dev_command(port: str) -> None:
    """Become uvicorn: Ctrl-C is then its own, and it ends as it does in production."""

    async def act(terminal: Terminal) -> None:
        root = project().root
        _ready(root, number(port, "--port", 1, 65_535))
        (root / DATABASE).parent.mkdir(exist_ok=True)
        where = f"http://{ADDRESS}:{port}/docs"
        terminal.err.print(f"→ {where}, data in {DATABASE}; Ctrl-C ends it")

    run(act)
    root = Path.cwd()
    os.execve(sys.executable, argv(root, int(port)), environment(root, os.environ))  # noqa: S606 - an argument list, no shell


def environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Always SQLite: a DATABASE_URL that happens to be set is somebody's real database.

    Metrics are one process's: with PROMETHEUS_MULTIPROC_DIR, also an empty one, files of them pile up at every reload.
    """
    inherited = {name: value for name, value in environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    return {**inherited, "DATABASE_URL": f"sqlite:///{root / DATABASE}"}


def argv(root: Path, port: int) -> list[str]:
    """Uvicorn of the environment that runs invoke, watching the service's folder."""
    return [
        sys.executable, "-m", "uvicorn", "app.asgi:app", "--reload", "--reload-dir", str(root / "app"),
        "--host", ADDRESS, "--port", str(port), "--no-access-log",
    ]  # fmt: skip


def _ready(root: Path, port: int) -> None:
    if not (root / ENTRY).is_file():
        raise ConfigError(
            "`invoke dev` starts the service that this repository came with, and can't find it",
            where=str(root / ENTRY),
            remedy="Start your own as its framework has it, or name it in `argv` in portside/dev.py.",
        )
    if importlib.util.find_spec("uvicorn") is None:
        raise ConfigError("uvicorn isn't installed", where=sys.executable, remedy="uv sync")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} can't be had", where=ADDRESS, why=str(error), remedy=f"invoke dev --port {port + 1}"
            ) from None
