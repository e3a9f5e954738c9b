"""What a host's own settings make of the plan: an Include within a Match, live-restore that somebody switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portside.errors import PreflightError
from portside.hardening import sshd
from portside.hardening.posture import Posture
from tests.unit.test_hardening import BARE, HARD, INCLUDES, steps


@pytest.mark.parametrize("block", ["Match User git\n", "Match User git\nForceCommand none\nMatch Address 10.0.0.0/8\n"])
def test_an_sshd_that_reads_our_file_for_some_connections_only_is_refused(block: str) -> None:
    with pytest.raises(PreflightError, match="doesn't include") as refused:
        steps(replace(HARD, sshd={**HARD.sshd, sshd.MAIN: f"UsePAM yes\n{block}{INCLUDES}"}))
    assert "at its beginning" in refused.value.remedy
    assert steps(replace(HARD, sshd={**HARD.sshd, sshd.MAIN: f"{block}Match all\n{INCLUDES}"})) == []


def test_what_a_match_block_includes_stays_within_it() -> None:
    files = {sshd.MAIN: "Match User git\nInclude git.conf\n", "/etc/ssh/git.conf": "Match all\nMaxAuthTries 9\n"}
    assert sshd.effective(files).of("MaxAuthTries") is None


@pytest.mark.parametrize(
    "posture",
    [
        replace(BARE, daemon='{"live-restore": false}'),
        replace(BARE, flags=("--live-restore=false",)),
        replace(BARE, daemon='{"live-restore": true}', swarm=True),
    ],
)
def test_docker_is_not_upgraded_by_itself_where_its_containers_would_stop(posture: Posture) -> None:
    _, step, _ = steps(posture)
    assert '"^docker";' in step.arguments[-1]


@pytest.mark.parametrize("posture", [BARE, replace(BARE, flags=("--live-restore",))])
def test_docker_is_upgraded_by_itself_where_its_containers_go_on(posture: Posture) -> None:
    _, step, _ = steps(posture)
    assert "docker" not in step.arguments[-1]


def test_what_somebody_keeps_in_daemon_json_is_in_no_argument() -> None:
    proxied = '{"proxies": {"https-proxy": "http://u:canary@proxy:3128"}}'
    step = steps(replace(BARE, daemon=proxied))[0]
    assert "canary" in step.stdin
    assert "canary" not in f"{step.arguments} {step}"
