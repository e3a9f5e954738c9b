"""This machine: who is at work on it, and what it can't do."""

from __future__ import annotations

import getpass
import platform
import pwd
from pathlib import Path

import pytest

from portside.errors import ConfigError
from portside.fleet import connected
from portside.image.build import Source, read_source
from portside.operators import operator
from tests.unit import builders


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that was started with `--user 1234`."""
    for name in ("GITHUB_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    nobody = max(entry.pw_uid for entry in pwd.getpwall()) + 1
    monkeypatch.setattr(getpass.os, "getuid", lambda: nobody)
    assert operator().startswith(f"uid {nobody}@")


async def test_a_machine_that_isn_t_linux_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(ConfigError, match="Darwin can't be released to") as caught:
        async with connected(builders.environment(hosts=[])):
            pass
    assert caught.value.where == "portside.toml: env.prod.hosts"


async def test_without_git_a_tree_is_as_one_that_is_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await read_source(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await read_source(tmp_path) == there == Source("unknown", 0, "")
