"""A value out of every source, and a search for each in all that a life of releases leaves behind: none is found."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from portside.cli import CRASH_FILE
from tests.lab.inbox import Inbox
from tests.lab.processes import argument_lists, argument_lists_on
from tests.lab.project import REPOSITORY, Finished, Project
from tests.sops import kept
from tests.stores.standing import Standing

# `bw` is a program of Node.js that is started twice by every command, and process lists are sampled meanwhile.
pytestmark = [pytest.mark.secrets, pytest.mark.alone]

STORES = ("aws", "azure", "bw", "bws", "gcp", "op", "vault")
KINDS = (*STORES, "env", "file", "generated", "sops")
# Part of every value that a test plants: whatever has it in it gives away one.
MARK = "cnry4f1d"
# A mistake of ours at the worst place, whose text has everything in it.
MISTAKE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import portside.release

def env_file(values):
    raise ValueError(f"no such thing: {{dict(values)}}")

portside.release.env_file = env_file
"""


@dataclass
class Planted:
    """A project whose environment takes a value from every source, somebody who may read them, and all they saw."""

    project: Project
    stores: Standing
    folder: Path
    variables: dict[str, str]
    said: list[str] = field(default_factory=list)

    def plant(self, kind: str, value: str) -> str:
        """A new value in one of the stores; the reference to it."""
        return self.stores[kind].put("canary", value)

    def invoke(self, *arguments: str, code: int = 0, **more: str) -> Finished:
        done = self.project.invoke(*arguments, code=code, variables={**self.variables, **more})
        self.said += [done.out, done.err]
        return done

    def values(self) -> dict[str, str]:
        """What the containers have got."""
        (host,) = self.project.hosts
        (web, *_) = (name for name in self.project.containers(host) if "web" in name)
        told = self.project.shell(host, "docker", "inspect", "--format", "{{json .Config.Env}}", web)
        return dict(line.split("=", 1) for line in json.loads(told))


@pytest.fixture
def planted(
    project: Project, stores: Standing, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Planted:
    folder = tmp_path_factory.mktemp("canaries")
    variables = {**stores.variables(STORES), "CANARY": f"{MARK}-env", "SOPS_AGE_KEY_FILE": str(folder / "age.txt")}
    here = Planted(project, stores, folder, variables)
    references = {}
    for kind in STORES:
        stores[kind].reset()
        references[kind.upper()] = here.plant(kind, f"{MARK}-{kind}-1")
    dotenv = folder / "outside.env"
    dotenv.write_text(f"CANARY={MARK}-file\n")
    dotenv.chmod(0o600)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", variables["SOPS_AGE_KEY_FILE"])
    asyncio.run(kept(project.root, folder, monkeypatch, f"CANARY: {MARK}-sops\n"))
    # That only typed it.
    (folder / "editor.py").unlink()
    generated = project.root / ".portside/secrets/lab.json"
    generated.parent.mkdir(parents=True, mode=0o700)
    generated.write_text(json.dumps({"CANARY": f"{MARK}-generated"}))
    generated.chmod(0o600)
    references |= {"ENV": "env:CANARY", "FILE": f"file:{dotenv}#CANARY", "GENERATED": "generated:CANARY"}
    project.environment["secrets"] = {**references, "SOPS": "sops:secrets/prod.yaml#CANARY"}
    project.environment["env"] = {"COMPOSED": "postgres://user:${VAULT}@db/x", "GREETING": "hello"}
    return here


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    inbox = Inbox()
    monkeypatch.setenv("HOOK", f"{inbox.address}/hook")
    yield inbox
    inbox.close()


def test_no_value_of_any_source_is_found_in_anything_that_releases_leave_behind(planted: Planted, inbox: Inbox) -> None:
    project, (host,) = planted.project, planted.project.hosts
    image, next_image = project.image(), project.image("2")
    project.notify["hook"] = {"kind": "webhook", "secret": "env:HOOK"}
    release = ("--env", "lab", "--image")
    with argument_lists() as seen, argument_lists_on(project, host) as seen_there:
        planted.invoke("plan", *release, image, code=2)
        planted.invoke("deploy", *release, image)
        assert {name: value for name, value in planted.values().items() if MARK in value} == {
            **{kind.upper(): f"{MARK}-{kind}-1" for kind in STORES if kind != "vault"},
            **{kind.upper(): f"{MARK}-{kind}" for kind in ("env", "file", "generated", "sops")},
            "COMPOSED": f"postgres://user:{MARK}-vault-1@db/x",
        }
        listed = planted.invoke("secrets", "list", "--env", "lab")
        assert listed.out.count("✓") == len(KINDS)

        # A value of one source changes, no code does.
        planted.plant("gcp", f"{MARK}-gcp-2")
        changed = planted.invoke("plan", *release, image, "--json", code=2)
        assert json.loads(changed.out)["changes"]
        assert re.findall(r"\b([A-Z]{2,}) changes", planted.invoke("plan", *release, image, code=2).out) == ["GCP"]
        planted.invoke("deploy", *release, image, "--json")
        assert planted.values()["GCP"] == f"{MARK}-gcp-2"

        # A careless service shows all it knows in its last lines.
        project.environment["env"] |= {"TELLS": "1", "EXIT_AT_START": "1"}
        for machine in ((), ("--json",)):
            failed = planted.invoke("deploy", *release, next_image, *machine, code=7)
            assert "[secret]" in failed.all and "the moon is in the wrong phase" in failed.all
        for name in ("TELLS", "EXIT_AT_START"):
            del project.environment["env"][name]

        planted.invoke("deploy", *release, next_image)
        planted.invoke("rollback", "--env", "lab")
        planted.invoke("rollback", "--env", "lab", "--json")
        for command in ("status", "history"):
            planted.invoke(command, "--env", "lab")
            planted.invoke(command, "--env", "lab", "--json")
        planted.invoke("logs", "--env", "lab")
        planted.invoke("doctor", "--env", "lab")

        # A mistake of ours, whose text has them all.
        mistake = planted.folder / "mistake"
        mistake.mkdir()
        (mistake / "sitecustomize.py").write_text(MISTAKE)
        for machine in ((), ("--json",)):
            crashed = planted.invoke("deploy", *release, image, "--force", *machine, code=70, PYTHONPATH=str(mistake))
            assert "[secret]" in crashed.all
        assert "[secret]" in (project.root / CRASH_FILE).read_text()

    assert [line for line in planted.said if MARK in line] == []
    assert [line for line in (*seen, *seen_there) if MARK in line] == []
    assert len(inbox.came) >= 6 and MARK not in json.dumps([body for _, body, _ in inbox.came])
    assert holding(project.root) == [".portside/secrets/lab.json"]
    assert holding(planted.folder) == ["outside.env"]
    for each in (image, next_image):
        assert MARK not in project.shell(host, "docker", "history", "--no-trunc", each)
        assert image_holds(project, each) == ""
    found = holding_there(project)
    assert found and [path for path in found if not re.fullmatch(r".*/releases/[\w-]+/env", path)] == []
    modes = project.shell(host, "stat", "--format", "%a %U", *found).splitlines()
    assert set(modes) == {"600 deploy"}


def test_what_is_missing_or_empty_in_any_source_is_named_at_once_and_nothing_changes(planted: Planted) -> None:
    project, (host,) = planted.project, planted.project.hosts
    image = project.image()
    planted.invoke("deploy", "--env", "lab", "--image", image)
    before = project.shell(host, "bash", "-c", "find /home/deploy/.portside -type f -printf '%p %T@\\n' | sort")
    containers = project.containers(host)
    for kind in STORES:
        planted.stores[kind].reset()
    project.environment["secrets"] |= {
        "EMPTY": "env:EMPTY",
        "SOPS": "sops:secrets/prod.yaml#GONE",
        "FILE": f"file:{planted.folder / 'outside.env'}#GONE",
    }
    refused = planted.invoke("deploy", "--env", "lab", "--image", image, code=3, EMPTY="")
    names = {kind.upper() for kind in STORES} | {"EMPTY", "SOPS", "FILE"}
    assert "10 secrets are missing or empty" in refused.err
    assert {line.strip().partition(":")[0] for line in refused.err.splitlines() if line.startswith("  ")} == names
    assert planted.invoke("plan", "--env", "lab", "--image", image, "--json", code=3, EMPTY="").data["exit_code"] == 3
    assert not [line for line in planted.said if MARK in line]
    after = project.shell(host, "bash", "-c", "find /home/deploy/.portside -type f -printf '%p %T@\\n' | sort")
    assert (after, project.containers(host)) == (before, containers)


def holding(folder: Path) -> list[str]:
    """The files of this machine that have a value in them."""
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--text", MARK, "."],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return sorted(name.removeprefix("./") for name in found.stdout.splitlines())


def holding_there(project: Project) -> list[str]:
    """The files of the host, but what its Docker Engine keeps of containers, which only root reads."""
    (host,) = project.hosts
    # Both keep each container's settings, below folders that are closed to everybody else.
    skipped = [f"--exclude-dir={name}" for name in ("proc", "sys", "dev", "containers", "containerd")]
    # And for the moment in which a health check starts there are those of its process, root's alone as well.
    skipped.append("--exclude=runc-process*")
    search = ["grep", "-rla", "--devices=skip", *skipped, MARK, "/"]
    return project.shell(host, "bash", "-c", f"{' '.join(search)} 2>/dev/null || true").split()


def image_holds(project: Project, image: str) -> str:
    """What of an image, with all of its layers, has a value in it."""
    (host,) = project.hosts
    search = f"docker save {image} | tar -x -C $folder && cd $folder && find . -type f | while read -r file; do"
    search += (
        f" if tar -tf $file >/dev/null 2>&1; then tar -xOf $file; else cat $file; fi | grep -qa {MARK} && echo $file;"
    )
    script = f"folder=$(mktemp -d); {search} done; rm -rf $folder"
    return project.shell(host, "bash", "-c", script)
