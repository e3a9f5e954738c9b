"""The demo's report says what was seen, and fails when a promise wasn't kept."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from portside.config import Build, Config, Service
from portside.demo.report import DemoReport, Expectation, ReleaseReport, last_words, rendered
from portside.demo.variants import broken_tree, changed_tree
from portside.demo.watch import Chapter, Sightings
from portside.errors import ConfigError
from portside.load import Latency

REPORT = DemoReport(
    address="http://192.0.2.11",
    setup={"host": 2.04},
    releases=(
        ReleaseReport("first release", "20261123-120000-aaaaaa", "released", {"start": 1.5}, 3.0),
        ReleaseReport("a change", "20261123-120010-bbbbbb", "released", {"start": 1.5}, 3.1, requests=300),
        ReleaseReport(
            "a bad change", "20261123-120020-cccccc", "undone", {"start": 1.5, "bake": 3.0}, 6.0, requests=400
        ),
    ),
    requests_sent=900,
    requests_failed=0,
    latency=Latency(p50=2.0),
    failures=(),
    undone_because="container links-demo-blue-web-1 is restarting: portside-demo-1, bake",
    last_words="critical: broken on purpose",
    expectations=(Expectation("no request failed", True, "900 sent, 0 failed"),),
    monitoring=("prometheus   http://172.18.0.11:9090", "loki         left out: no image"),
    seconds=41.26,
)


def shown(report: DemoReport) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(rendered(report, "demo"))
    return console.export_text()


def test_the_report_for_machines_has_what_it_promises() -> None:
    data = json.loads(json.dumps(REPORT.as_dict()))
    assert data["requests_sent"] == 900
    assert data["requests_failed"] == 0
    assert [release["outcome"] for release in data["releases"]] == ["released", "released", "undone"]
    assert data["releases"][2]["seconds"] == {"start": 1.5, "bake": 3.0}
    assert data["undone_because"].startswith("container links-demo-blue-web-1")
    assert data["seconds"] == 41.3


def test_the_report_for_people_says_what_was_undone_why_and_what_to_type_next() -> None:
    text = shown(REPORT)
    assert "900 requests, 0 failed, 3 releases, 1 undone" in text
    assert "Undone, because: container links-demo-blue-web-1 is restarting" in text
    assert "http://192.0.2.11" in text
    for command in ("status --env demo", "rollback --env demo", "logs --env demo", "demo --down"):
        assert f"invoke {command}" in text


def test_one_broken_promise_fails_the_demo_and_is_shown() -> None:
    broken = replace(REPORT, expectations=(*REPORT.expectations, Expectation("the bad change was undone", False)))
    assert REPORT.succeeded and not broken.succeeded
    assert "✗ the bad change was undone" in shown(broken)


def test_last_words_are_the_grave_ones_else_the_last() -> None:
    log = '--- last log lines\n{"level":"critical","message":"no more"}\n{"level":"info","message":"bye"}'
    assert last_words(log) == "critical: no more"
    assert last_words("a\nb\nc\nd") == "b\nc\nd"
    assert last_words("") == ""


def test_a_release_is_seen_again_only_after_the_one_in_between() -> None:
    seen = Sightings(seen=[(1.0, "old"), (2.0, "bad"), (3.0, "old")])
    assert seen.first("old") == 1.0
    assert seen.first("old", after=2.0) == 3.0
    assert seen.first("never") is None


def test_a_chapter_names_the_release_where_the_host_was_and_remembers_beginnings() -> None:
    told: list[tuple[str, str, str]] = []

    class Reporter:
        def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None:
            told.append((host, phase, outcome))

        def say(self, text: str) -> None:
            return None

    chapter = Chapter(Reporter(), "a change", "portside-demo-1")
    chapter.phase("portside-demo-1", "undo", "running")
    assert told == [("a change", "undo", "running")]
    assert "undo" in chapter.began


@pytest.fixture
def tree(tmp_path: Path) -> Config:
    root = tmp_path / "tree"
    (root / "app").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".env.demo").write_text("SECRET=1")
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "app/asgi.py").write_text('"""Doc."""\n\nfrom __future__ import annotations\n\napp = object()\n')
    return Config(root=root, service=Service(name="links"), build=Build(), env={})


@pytest.mark.parametrize("change", [changed_tree, broken_tree])
def test_a_changed_copy_is_python_and_leaves_the_tree_alone(change, tree: Config, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = (tree.root / "app/asgi.py").read_text()
    copy = change(tree, tmp_path / "copy")
    source = (copy.root / "app/asgi.py").read_text()
    compile(source, "asgi.py", "exec")
    assert "Added by `invoke demo`" in source
    assert (tree.root / "app/asgi.py").read_text() == before
    assert not (copy.root / ".git").exists() and not (copy.root / ".env.demo").exists()


def test_without_the_entry_point_that_it_changes_the_demo_says_so(tree: Config, tmp_path: Path) -> None:
    (tree.root / "app/asgi.py").unlink()
    with pytest.raises(ConfigError, match=r"app/asgi\.py"):
        changed_tree(tree, tmp_path / "copy")
