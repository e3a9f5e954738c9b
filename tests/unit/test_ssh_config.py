"""An ssh_config with a block for each of many hosts is read as ever, only quicker."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.errors import HostError
from portside.host.quick import asyncssh
from portside.host.ssh import connect, login_name


async def test_lines_are_taken_apart_once_for_all_hosts(tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("".join(f'Host web-{number}\n  User "user {number}"\n' for number in range(30)))
    assert await login_name("web-7", config) == "user 7"
    before = asyncssh.config.shlex._words.cache_info().misses
    assert await login_name("web-8", config) == "user 8"
    assert asyncssh.config.shlex._words.cache_info().misses == before


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("web", "Host web\n  HostName 127.0.0.1\nMatch final\n  User deploy\n"),
        # 127 in the domain 0.0.1 is found without any DNS.
        ("127", "Host 127\n  CanonicalizeHostname yes\n  CanonicalDomains 0.0.1\nHost 127.0.0.1\n  User deploy\n"),
        ("deploy@web", "Match final\n  User ada\n"),
    ],
)
async def test_whoever_a_connection_logs_in_as_is_known_before(name: str, config: str, tmp_path: Path) -> None:
    (tmp_path / "ssh_config").write_text(config)
    assert await login_name(name, tmp_path / "ssh_config") == "deploy"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("web..1", ""),
        ("x" * 70 + ".example", ""),
        ("web-1", "Host web-1\n  Port many\n"),
        ("web-1", 'Host "web-1\n'),
        ("web-1", "UserKnownHostsFile ~nobody-here/known_hosts\n"),
    ],
)
async def test_a_name_or_a_file_that_is_wrong_is_an_error_that_names_the_host(
    name: str, config: str, tmp_path: Path
) -> None:
    (tmp_path / "ssh_config").write_text(config)
    with pytest.raises(HostError) as caught:
        await connect(name, ssh_config=tmp_path / "ssh_config", known_hosts=None, deadline=5)
    assert caught.value.where == name
