"""Whether git would take a file along: one with values or keys in plain text is kept out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from portside.command import run_command

GIT_SECONDS = 10.0
# git's own: it is ignored; it isn't; there is no repository around it.
_TAKEN = 1


async def taken_by_git(path: Path) -> bool:
    """It is inside a repository and isn't ignored there. A file that is tracked already counts as taken.

    Its folder needn't be there yet.
    """
    if not shutil.which("git"):
        return False
    folder, name = _there(path)
    argv = ["git", "check-ignore", "--quiet", "--", name]
    return (await run_command(argv, timeout=GIT_SECONDS, cwd=folder)).exit_code == _TAKEN


def _there(path: Path) -> tuple[Path, str]:
    """The nearest folder around `path` that exists, and `path` as seen from it."""
    path = path.absolute()
    folder = next(each for each in path.parents if each.is_dir())
    return folder, str(path.relative_to(folder))
