"""What the judge tells of a release that it ends; the Docker Engine is a stand-in that takes its time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portside.errors import ReleaseError
from portside.host.local import LocalHost
from portside.judge import watching
from portside.judge.findings import Finding, Verdict
from portside.judge.judge import Judge
from portside.steps import Target
from tests.unit import builders

ENGINE = """#!/bin/sh
case "$1" in
ps) echo c1 ;;
inspect) echo "c1 /c1 web 2026-11-23T15:45:01Z 127.0.0.1" ;;
logs) sleep 0.5 && echo '{"level": "error", "message": "nothing works today"}' ;;
esac
"""


async def test_a_host_whose_logs_come_late_keeps_no_undo_waiting_and_is_heard_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(ENGINE)
    (tmp_path / "bin/docker").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(watching, "PATIENCE", 0.1)
    bad = Verdict("undo", (Finding("5xx", "worse", "5xx ratio 100 %"),))
    monkeypatch.setattr(Judge, "after", lambda *_: bad)
    config = builders.config(hosts=[])
    target = Target(LocalHost(), "links-prod", "1", builders.state(), builders.operation())
    judge = watching.Watching(config, config.environment("prod"), builders.release(), [target], lambda _: None)
    with pytest.raises(ReleaseError) as caught:
        await judge.judged(20)
    assert caught.value.why == "", "its answer has not come yet"
    monkeypatch.setattr(watching, "PATIENCE", 10)
    await judge.explain(caught.value)
    assert "nothing works today" in caught.value.why
    await judge.end()
