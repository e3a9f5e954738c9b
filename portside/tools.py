"""Programs that only checks need: from PATH, else out of Debian's packages into the cache; nothing is installed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from portside.command import run_command
from portside.engine import APT_SECONDS, QUESTION_SECONDS, debian_mirror, ensure_file
from portside.errors import CommandError, PortsideError
from portside.image.turns import state_folder, turn

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Debian's stable releases have a Prometheus 2, whose promtool doesn't know the language of version 3.
SUITE = "sid"
UNPACK_SECONDS = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tool:
    """A program, the Debian package that carries it, the oldest version that will do ((0, 0): any), where it's from."""

    program: str
    package: str
    oldest: tuple[int, int]
    home: str = "https://prometheus.io/download/"


PROMTOOL = Tool("promtool", "promtool", (3, 5))
AMTOOL = Tool("amtool", "prometheus-alertmanager", (0, 30))
# Debian's build doesn't know its own version.
COSIGN = Tool("cosign", "cosign", (0, 0), "https://docs.sigstore.dev/cosign/system_config/installation/")
TOOLS = (PROMTOOL, AMTOOL)


async def ensure_tool(tool: Tool, say: Say) -> Path:
    """The program's path. Raises PortsideError that says what to do where it can't be had."""
    on_path = shutil.which(tool.program)
    if on_path and await _version(Path(on_path)) >= tool.oldest:
        return Path(on_path)
    folder = state_folder(os.environ) / "tools"
    program = folder / tool.package / "usr/bin" / tool.program
    async with turn(f"the tool {tool.program}", folder=state_folder(os.environ), timeout=APT_SECONDS):
        if not program.exists():
            await _unpack(tool, folder, say)
    if await _version(program) < tool.oldest:
        raise _missing(tool, f"{program} is older than that, or doesn't run here; remove it to fetch it again")
    return program


async def _unpack(tool: Tool, folder: Path, say: Say) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise _missing(tool, "this is no Debian or Ubuntu machine, where it could be fetched from a package")
    await ensure_file(KEYRING, "debian-archive-keyring", say)
    say(f"fetching {tool.package} of Debian {SUITE} into {folder}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - a local file, as below
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        try:
            for command in (["update"], ["download", tool.package]):
                argv = ["apt-get", "--quiet", *command]
                settings = {"APT_CONFIG": str(_apt_settings(work))}
                (await run_command(argv, timeout=APT_SECONDS, env=settings, cwd=work)).check()
            package = next(work.glob("*.deb"))  # noqa: ASYNC240
            argv = ["dpkg-deb", "--extract", package.name, "tree"]
            (await run_command(argv, timeout=UNPACK_SECONDS, cwd=work)).check()
        except CommandError as error:
            raise _missing(tool, str(error)) from error
        shutil.rmtree(folder / tool.package, ignore_errors=True)
        (work / "tree").rename(folder / tool.package)


def _apt_settings(work: Path) -> Path:
    """An apt that knows this suite alone, and keeps all its files in `work`: the machine's own isn't touched."""
    (work / "lists/partial").mkdir(parents=True, exist_ok=True)
    (work / "archives/partial").mkdir(parents=True, exist_ok=True)
    (work / "suite.sources").write_text(
        f"Types: deb\nURIs: {debian_mirror(os.environ)}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    settings = work / "apt.conf"
    settings.write_text(
        f'Dir::Etc::SourceList "{work}/suite.sources";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        'Dir::Etc::Preferences "/dev/null";\n'
        'Dir::Etc::PreferencesParts "/dev/null";\n'
        f'Dir::State::Lists "{work}/lists";\n'
        'Dir::State::Status "/dev/null";\n'
        f'Dir::Cache "{work}";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "3";\n'
        'APT::Sandbox::User "";\n'
    )
    return settings


async def _version(program: Path) -> tuple[int, int]:
    """The first two numbers of `--version`; zeros where it doesn't run."""
    try:
        answer = await run_command([str(program), "--version"], timeout=QUESTION_SECONDS)
    except CommandError:
        return (0, 0)
    found = re.search(r"version (\d+)\.(\d+)", (answer.stdout + answer.stderr).decode(errors="replace"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _missing(tool: Tool, why: str) -> PortsideError:
    wanted = f" {'.'.join(map(str, tool.oldest))} or newer" if any(tool.oldest) else ""
    return PortsideError(
        f"{tool.program}{wanted} is needed and isn't on PATH",
        where="this machine",
        why=why,
        remedy=f"Put {tool.program} on PATH: {tool.home}",
    )


async def ensure_tools(say: Say) -> Mapping[str, Path]:
    """All of them: program to path."""
    return {tool.program: await ensure_tool(tool, say) for tool in TOOLS}


def main() -> None:
    """`python -m portside.tools`: fetch what is missing, print a path per line."""
    try:
        paths = asyncio.run(ensure_tools(lambda text: print(text, file=sys.stderr)))
    except PortsideError as error:
        raise SystemExit(str(error)) from None
    print("\n".join(str(path) for path in paths.values()))


if __name__ == "__main__":
    main()
