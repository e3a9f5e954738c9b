"""Make sure this machine has a usable Docker Engine with Compose and buildx."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from portside.command import Result, run_command, tail
from portside.errors import CommandError, PortsideError

QUESTION_SECONDS = 15.0
APT_SECONDS = 600.0
START_SECONDS = 60.0
DEBIAN_MIRROR = "http://deb.debian.org/debian"
DEBIAN_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "docker-compose")
# From Docker's own repository; the distribution's packages would take their place.
DOCKER_PACKAGES = ("docker-ce", "docker-ce-cli")
DOCKER_PLUGINS = ("docker-compose-plugin", "docker-buildx-plugin")
DEFAULT_CONTEXT = "default"
# Docker Desktop's, and the one in use wherever it is installed.
DESKTOP_CONTEXT = "desktop-linux"
PID_FILE = Path("/var/run/docker.pid")
LOG_FILE = Path("/var/log/portside-dockerd.log")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installation:
    """What it takes to install Docker from the distribution's own packages."""

    system: str
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()

    def commands(self) -> tuple[str, ...]:
        """The same, as a person would type it."""
        return (
            *(f"sudo tee {path} > /dev/null <<'END'\n{content}END" for path, content in self.files),
            "sudo apt-get update",
            f"sudo apt-get install --no-install-recommends {shlex.join(self.packages)}",
        )


def debian_mirror(environ: Mapping[str, str]) -> str:
    """Where Debian packages come from: PORTSIDE_DEBIAN_MIRROR, or Debian's own address."""
    return environ.get("PORTSIDE_DEBIAN_MIRROR", DEBIAN_MIRROR).rstrip("/")


def installation_for(os_release: Mapping[str, str], mirror: str = DEBIAN_MIRROR) -> Installation | None:
    """The packages for the system that /etc/os-release describes; None where Portside doesn't install."""
    name, version = os_release.get("ID", ""), os_release.get("VERSION_ID", "")
    system = os_release.get("PRETTY_NAME", name)
    if name == "debian" and version == "12":
        # Bookworm's own docker.io is 20.10 and has neither buildx nor Compose v2. Priority 100 keeps
        # everything that isn't named here on bookworm.
        return Installation(
            system,
            (*(f"{package}/trixie" for package in DEBIAN_PACKAGES), "iptables"),
            (
                (
                    "/etc/apt/sources.list.d/portside-trixie.sources",
                    f"Types: deb\nURIs: {mirror}\nSuites: trixie\nComponents: main\n"
                    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
                ),
                (
                    "/etc/apt/preferences.d/portside-trixie",
                    "Package: *\nPin: release n=trixie\nPin-Priority: 100\n",
                ),
            ),
        )
    if name == "debian":
        return Installation(system, (*DEBIAN_PACKAGES, "iptables"))
    if name == "ubuntu":
        return Installation(system, ("docker.io", "docker-buildx", "docker-compose-v2", "iptables"))
    return None


def read_os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """/etc/os-release as a mapping; empty where there is none."""
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {key: "".join(shlex.split(value)) for key, value in pairs}


async def ensure_engine(say: Say) -> None:
    """Return once `docker`, `docker compose` and `docker buildx` work on this machine.

    Starts an Engine that is installed and not running. Installs one where that needs no decision of the
    user's (root on Debian or Ubuntu, and no other Docker in use). Raises PortsideError with the commands to type
    everywhere else.
    """
    if await missing_tools():
        await install_docker(say)
    if await engine_answers():
        return
    await start_engine(say)


async def missing_tools() -> tuple[str, ...]:
    """Which of the docker programs don't run here. Plugins count wherever the CLI finds them.

    Raises CommandError where one doesn't answer in time: it is slow, or hangs, and isn't missing.
    """
    if shutil.which("docker") is None:
        return ("docker",)
    questions = [("docker", plugin, "version") for plugin in ("compose", "buildx")]
    answers = await asyncio.gather(*(run_command(question, timeout=QUESTION_SECONDS) for question in questions))
    return tuple(" ".join(answer.argv[:2]) for answer in answers if answer.exit_code != 0)


async def refuse_other_docker() -> None:
    """Raise PortsideError where the distribution's packages would take the place of a Docker that is in use here.

    A `docker` alone, without an Engine that it talks to, is none: the packages are installed beside it.
    """
    if shutil.which("docker") is None:
        return
    installed = await _installed("docker.io", *DOCKER_PACKAGES)
    if not installed.isdisjoint(DOCKER_PACKAGES):
        raise PortsideError(
            "Docker from Docker's own repository lacks Compose v2 or buildx",
            where="this machine",
            remedy=f"Type `sudo apt-get install {' '.join(DOCKER_PLUGINS)}`.",
        )
    if "docker.io" not in installed and (engine := await _engine_in_use()):
        raise PortsideError(
            f"`docker` lacks Compose v2 or buildx, and {engine} isn't the distribution's",
            where="this machine",
            remedy=f"Install what is called {' and '.join(DOCKER_PLUGINS)} in Docker's own repository, "
            "from where that Docker came: https://docs.docker.com/engine/install/",
        )


async def engine_answers() -> bool:
    """True when the Engine answers; raises when it runs and this user may not use it."""
    answer = await _ask("docker", "version", "--format", "{{.Server.Version}}")
    if answer is None:
        return False
    if b"permission denied" in answer.stderr.lower():
        raise PortsideError(
            "this user may not use the Docker Engine",
            where="this machine",
            why=tail(answer.stderr, 3),
            remedy="Type `sudo usermod -aG docker $USER`, then log in again.",
        )
    return answer.exit_code == 0


async def refuse_other_engine() -> None:
    """Raise PortsideError where the Engine that doesn't answer isn't one that is started from here."""
    if os.environ.get("DOCKER_HOST"):
        raise PortsideError(
            "the Docker Engine that DOCKER_HOST names doesn't answer",
            where=os.environ["DOCKER_HOST"],
            remedy="Start it there, or unset DOCKER_HOST to use this machine's Engine.",
        )
    linux = platform.system() == "Linux"
    own = DEFAULT_CONTEXT if linux else DESKTOP_CONTEXT
    if (context := await _context()) not in (DEFAULT_CONTEXT, own):
        raise PortsideError(
            f"the Docker Engine of the context {context!r} doesn't answer",
            where="this machine",
            remedy=f"Start it there, or type `docker context use {own}` (and unset DOCKER_CONTEXT) to use "
            "this machine's Engine.",
        )
    if not linux:
        raise PortsideError("Docker isn't running", where="this machine", remedy="Start Docker Desktop.")


async def start_engine(say: Say) -> None:
    """Start the Engine and wait until it answers, at most START_SECONDS."""
    await refuse_other_engine()
    systemd = _runs_systemd()
    if os.geteuid() != 0:
        raise PortsideError(
            "the Docker Engine isn't running",
            where="this machine",
            remedy="Type `sudo systemctl start docker`." if systemd else "Type `sudo setsid dockerd &`.",
        )
    started = time.monotonic()
    if systemd:
        (await run_command(["systemctl", "start", "docker"], timeout=START_SECONDS)).check()
    else:
        _start_in_background()
    while not await engine_answers():
        if time.monotonic() - started > START_SECONDS:
            raise PortsideError(
                f"the Docker Engine didn't answer within {START_SECONDS:g} s of its start",
                where="this machine",
                why=_log_tail(),
                remedy="See `journalctl -u docker`." if systemd else f"See {LOG_FILE}.",
            )
        await asyncio.sleep(0.2)
    say(f"Docker Engine started in {time.monotonic() - started:.1f} s")


async def install_docker(say: Say) -> None:
    """Install the distribution's Docker packages, or say what to type. Another Docker is left as it is."""
    plan = installation_for(read_os_release(), debian_mirror(os.environ))
    if plan is None:
        raise PortsideError(
            "Docker with Compose v2 and buildx isn't installed",
            where="this machine",
            remedy="Install Docker Engine 25 or newer: https://docs.docker.com/engine/install/",
        )
    await refuse_other_docker()
    if os.geteuid() != 0:
        raise PortsideError(
            "Docker with Compose v2 and buildx isn't installed, and only root may install it",
            where="this machine",
            remedy="Type:\n" + "\n".join(plan.commands()),
        )
    say(f"installing on {plan.system}: {' '.join(plan.packages)}")
    _write(plan.files)
    await apt_install(plan.packages)


async def ensure_program(program: str, package: str, say: Say) -> None:
    """Make sure `program` is on PATH, installing `package` where that needs no decision of the user's."""
    if not shutil.which(program):
        await _ensure_package(program, package, say)


async def ensure_file(path: Path, package: str, say: Say) -> None:
    """Make sure `path` exists, installing `package` where that needs no decision of the user's."""
    if not path.exists():  # noqa: ASYNC240 - one look at a local file
        await _ensure_package(str(path), package, say)


async def _ensure_package(need: str, package: str, say: Say) -> None:
    if read_os_release().get("ID") not in {"debian", "ubuntu"} or os.geteuid() != 0:
        raise PortsideError(
            f"`{need}` is needed and isn't installed",
            where="this machine",
            remedy=f"Type `sudo apt-get install {package}` (on a Debian or Ubuntu machine).",
        )
    say(f"installing {package}")
    await apt_install((package,))


async def apt_install(packages: tuple[str, ...]) -> None:
    """Install packages after refreshing the lists: a fresh machine has none, an old one wrong ones.

    None is removed for them: what is in their way is somebody's.
    """
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    # Another apt may be at work (unattended-upgrades at boot): wait for its lock, not for ever.
    apt = ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=120", "--option", "Acquire::Retries=3"]
    update = await run_command([*apt, "update"], timeout=APT_SECONDS, env=quiet)
    install = await run_command(
        [*apt, "install", "--yes", "--no-remove", "--no-install-recommends", *packages],
        timeout=APT_SECONDS,
        env=quiet,
    )
    if install.exit_code != 0:
        # A list that couldn't be fetched explains a package that wasn't found.
        update.check("apt-get could not refresh its package lists")
    install.check(f"apt-get could not install {' '.join(packages)}")


def _runs_systemd() -> bool:
    return Path("/run/systemd/system").exists()


def _log_tail() -> str:
    return tail(LOG_FILE.read_bytes()) if LOG_FILE.exists() else ""


def _write(files: tuple[tuple[str, str], ...]) -> None:
    for path, content in files:
        Path(path).write_text(content)


def forget_dead_engine(pid_file: Path = PID_FILE, processes: Path = Path("/proc")) -> None:
    """Remove what an Engine that was killed left behind: its pid may be another process by now, or a zombie."""
    try:
        status = (processes / pid_file.read_text().strip() / "status").read_text()
    except FileNotFoundError:
        status = ""
    alive = re.search(r"^Name:\s+dockerd$", status, re.MULTILINE) and not re.search(
        r"^State:\s+Z", status, re.MULTILINE
    )
    if not alive:
        pid_file.unlink(missing_ok=True)


def _start_in_background() -> None:
    forget_dead_engine()
    with LOG_FILE.open("ab") as log:
        # A session of its own: Ctrl-C in this terminal is not for the Engine.
        subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


async def _installed(*packages: str) -> frozenset[str]:
    """Which of these packages dpkg has installed."""
    shown = "${Package} ${db:Status-Status}\n"
    listed = await run_command(["dpkg-query", "--show", "--showformat", shown, *packages], timeout=QUESTION_SECONDS)
    pairs = (line.split(" ") for line in listed.text.splitlines())
    return frozenset(package for package, status in pairs if status == "installed")


async def _engine_in_use() -> str:
    """The Engine that `docker` is for, in words; "" where it is for none."""
    if os.environ.get("DOCKER_HOST"):
        return "the Engine that DOCKER_HOST names"
    if (context := await _context()) != DEFAULT_CONTEXT:
        return f"the Engine of the context {context!r}"
    if daemon := shutil.which("dockerd"):
        return daemon
    return "the Engine that answers it" if await engine_answers() else ""


async def _context() -> str:
    """The Docker context in use; a docker that knows of none has the default one."""
    answer = await _ask("docker", "context", "show")
    return (answer.text if answer else "") or DEFAULT_CONTEXT


async def _ask(*argv: str) -> Result | None:
    """The answer to a question; None when the program is missing or hangs."""
    try:
        return await run_command(argv, timeout=QUESTION_SECONDS)
    except CommandError:
        return None


def main() -> None:
    """`python -m portside.engine [PROGRAM=PACKAGE …]`: a Docker Engine and these programs on this machine."""

    async def ensure() -> None:
        await ensure_engine(print)
        for program, _, package in (argument.partition("=") for argument in sys.argv[1:]):
            await ensure_program(program, package, print)

    try:
        asyncio.run(ensure())
    except PortsideError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
