"""`invoke dev`: the service on this machine, without Docker, reloaded whenever a file of it changes."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path

from portside.cli import Terminal, number, project, run
from portside.errors import ConfigError

ADDRESS = "127.0.0.1"
DATABASE = Path(".portside/dev.db")


def dev_command(port: str) -> None:
    """Become uvicorn: Ctrl-C is then its own, and it ends as it does in production."""

    async def act(terminal: Terminal) -> None:
        root = project().root
        _ready(number(port, "--port", 1, 65_535))
        (root / DATABASE).parent.mkdir(exist_ok=True)
        where = f"http://{ADDRESS}:{port}/docs"
        terminal.err.print(f"→ {where}, data in {DATABASE}; Ctrl-C ends it")

    run(act)
    root = Path.cwd()
    # Always SQLite: a DATABASE_URL that happens to be set is somebody's real database.
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{root / DATABASE}"}
    os.execve(sys.executable, argv(root, int(port)), environment)  # noqa: S606 - an argument list, no shell


def argv(root: Path, port: int) -> list[str]:
    """Uvicorn of the environment that runs invoke, watching the service's folder."""
    return [
        sys.executable, "-m", "uvicorn", "app.asgi:app", "--reload", "--reload-dir", str(root / "app"),
        "--host", ADDRESS, "--port", str(port), "--no-access-log",
    ]  # fmt: skip


def _ready(port: int) -> None:
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
