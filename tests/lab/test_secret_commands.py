"""`invoke secrets …` as a person types it: the real sops, real age keys, no host."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portside.secrets import fetch
from portside.secrets.age import key_file, new_key, recipients
from portside.secrets.base import UnreachableSourceError
from portside.secrets.sops_files import make, rotate
from tests.lab.processes import argument_lists
from tests.sops import CANARY, editor, kept

pytestmark = pytest.mark.secrets

INVOKE = (sys.executable, "-m", "invoke", "--search-root", str(Path(__file__).parents[2]))


def secrets(root: Path, *arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*INVOKE, "secrets", *arguments],
        cwd=root, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_the_first_edit_makes_key_rules_and_file_and_the_last_command_knows_the_value(
    sops_project: Path, tmp_path: Path
) -> None:
    text = f"TOKEN: {CANARY}\nnested:\n  other: {CANARY}-too\n"
    done = secrets(sops_project, "edit", "--env", "prod", EDITOR=editor(tmp_path, text))
    file = key_file()
    assert str(file) in done.stdout and "Never commit it" in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert recipients()[0] in (sops_project / ".sops.yaml").read_text()
    assert CANARY not in (sops_project / "secrets/prod.yaml").read_text() + done.stdout + done.stderr

    listed = secrets(sops_project, "list", "--env", "prod", "--json")
    assert {row["name"]: row["state"] for row in json.loads(listed.stdout)["secrets"]} == {
        "TOKEN": "there",
        "OTHER": "there",
    }
    assert CANARY not in listed.stdout + listed.stderr

    assert secrets(sops_project, "get", "--name", "TOKEN", "--env", "prod").stdout == CANARY
    assert "Add --yes" in secrets(sops_project, "get", "--name", "TOKEN", "--env", "prod", code=3, CI="true").stderr
    assert secrets(sops_project, "get", "--name", "TOKEN", "--env", "prod", "--yes", CI="true").stdout == CANARY
    refused = secrets(sops_project, "get", "--name", "NONE", "--env", "prod", code=3)
    assert "prod has: OTHER, TOKEN." in refused.stderr and refused.stdout == ""


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("show",), "there is no action 'show'\n→ Use one of: list, get, edit, key, rotate-key."),
        (("get",), "which one?\n→ Add --name. prod has: OTHER, TOKEN."),
        (("list", "--old", "age1x"), "list takes no --old\n→ Leave it out; it belongs to rotate-key."),
        (
            ("get", "--name", "TOKEN", "--json"),
            "get takes no --json\n→ Leave it out; it belongs to list and key and rotate-key.",
        ),
    ],
)
def test_what_an_action_does_not_take_is_refused(sops_project: Path, typed: tuple[str, ...], said: str) -> None:
    assert said in secrets(sops_project, *typed, "--env", "prod", code=3).stderr


def test_a_list_ends_with_1_where_something_cannot_be_had(sops_project: Path) -> None:
    done = secrets(sops_project, "list", "--env", "prod", code=1)
    assert "✗ TOKEN  sops:secrets/prod.yaml#TOKEN\n  missing: there is no file secrets/prod.yaml" in done.stdout


def test_an_edit_that_changes_nothing_says_so(sops_project: Path, tmp_path: Path) -> None:
    secrets(sops_project, "edit", "--env", "prod", EDITOR=editor(tmp_path, "TOKEN: x\n"))
    assert "secrets/prod.yaml is as it was." in secrets(sops_project, "edit", "--env", "prod", EDITOR="true").stdout
    failed = secrets(sops_project, "edit", "--env", "prod", EDITOR="false", code=10)
    assert "`sops edit secrets/prod.yaml` failed with exit code" in failed.stderr


@pytest.mark.parametrize("name", ["../elsewhere.yaml", "secrets/prod.txt"])
def test_only_files_of_the_project_that_have_names_are_edited(sops_project: Path, name: str) -> None:
    assert name in secrets(sops_project, "edit", "--env", "prod", "--file", name, code=3, EDITOR="true").stderr


async def test_a_rotated_key_opens_everything_and_the_old_one_nothing(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\n")
    await make(sops_project, "secrets/staging.yaml", {"B"})
    colleague = new_key(tmp_path / "colleague.txt", "a colleague's")
    rules = sops_project / ".sops.yaml"
    rules.write_text(rules.read_text().rstrip() + f",{colleague}\n")
    # As pasted out of a password manager.
    key_file().write_text(key_file().read_text().rstrip("\n"))
    old_keys, (old,) = key_file().read_text(), recipients()
    mistyped = secrets(sops_project, "rotate-key", "--file", "secrets/typo.yaml", code=3)
    assert "secrets/typo.yaml: there is no such file" in mistyped.stderr
    done = secrets(sops_project, "rotate-key", "--json")
    told = json.loads(done.stdout)
    assert told["old"] == old and told["files"] == ["secrets/prod.yaml", "secrets/staging.yaml"]
    assert recipients() == [old, told["new"]]
    for name in (".sops.yaml", *told["files"]):
        text = (sops_project / name).read_text()
        assert old not in text and told["new"] in text and colleague in text
    reference = "sops:secrets/prod.yaml#TOKEN"
    assert await fetch([reference], sops_project, "prod") == {reference: CANARY}
    key_file().write_text(old_keys)
    assert isinstance((await fetch([reference], sops_project, "prod"))[reference], UnreachableSourceError)
    assert "AGE-SECRET-KEY" not in done.stdout + done.stderr


async def test_a_rotation_that_fails_leaves_every_file_as_it_was(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\n")
    await make(sops_project, "secrets/staging.yaml", {"B"})
    broken = sops_project / "secrets/staging.yaml"
    broken.write_text(broken.read_text().replace("mac: ENC[", "mac: ENC[spoilt"))
    before = {
        path: path.read_bytes() for path in (sops_project / ".sops.yaml", *sorted((sops_project / "secrets").iterdir()))
    }
    done = secrets(sops_project, "rotate-key", code=10)
    assert "sops can't give secrets/staging.yaml its new key" in done.stderr
    assert {path: path.read_bytes() for path in before} == before


async def test_whose_key_is_to_be_replaced_has_to_be_clear(sops_project: Path, sops_home: Path) -> None:
    assert "invoke secrets edit" in secrets(sops_project, "rotate-key", code=3).stderr
    (sops_project / ".sops.yaml").write_text("creation_rules:\n  - age: age1somebody\n")
    assert "none of your keys is among its recipients" in secrets(sops_project, "rotate-key", code=3).stderr
    with pytest.raises(Exception, match="isn't one of its recipients"):
        await rotate(sops_project, [], "age1nobody")


def test_a_key_that_git_would_commit_is_not_made(sops_project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=sops_project, check=True, timeout=10)
    key = {"EDITOR": "true", "SOPS_AGE_KEY_FILE": str(sops_project / "key.txt")}
    refused = secrets(sops_project, "edit", "--env", "prod", code=3, **key)
    assert "git would commit this private key" in refused.stderr
    assert sorted(path.name for path in sops_project.iterdir()) == [".git", "portside.toml"]
    (sops_project / ".gitignore").write_text("key.txt\n")
    assert "where git ignores it" in secrets(sops_project, "edit", "--env", "prod", **key).stdout


def test_an_editor_has_the_terminal_and_ctrl_c_is_its_own(sops_project: Path, tmp_path: Path) -> None:
    script, log = tmp_path / "editor.py", tmp_path / "log"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        f"log = open({str(log)!r}, 'a', buffering=1)\n"
        "signal.signal(signal.SIGINT, lambda *_: log.write('interrupted\\n'))\n"
        "log.write('terminal\\n' if os.isatty(0) and os.isatty(1) else '')\n"
        "print('READY', flush=True)\n"
        "sys.stdin.readline()\n"
        f"pathlib.Path(sys.argv[1]).write_text('TOKEN: {CANARY}\\n')\n"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *INVOKE, "secrets", "edit", "--env", "prod"],
        cwd=sops_project, env={**os.environ, "EDITOR": f"{sys.executable} {script}", "TMPDIR": str(tmp_path)},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = typed_at(ours, b"READY", b"\x03")
    said += typed_at(ours, b"^C", b"\n")
    said += typed_at(ours, b"is changed", b"")
    assert process.wait(30) == 0
    assert log.read_text().split() == ["terminal", "interrupted"]
    assert CANARY.encode() not in said
    os.close(ours)
    assert secrets(sops_project, "get", "--name", "TOKEN", "--env", "prod").stdout == CANARY


def typed_at(terminal: int, prompt: bytes, keys: bytes) -> bytes:
    """What a terminal shows until the prompt is there, and then the keys are typed."""
    said, until = b"", time.monotonic() + 60
    while prompt not in said:
        assert time.monotonic() < until, said.decode(errors="replace")
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # nobody has it open any more
                raise AssertionError(said.decode(errors="replace")) from None
    os.write(terminal, keys)
    return said


def test_a_key_that_others_can_read_is_refused(sops_project: Path) -> None:
    new_key(key_file(), "mine")
    key_file().chmod(0o644)
    assert f"chmod 600 {key_file()}" in secrets(sops_project, "edit", "--env", "prod", code=3, EDITOR="true").stderr


async def test_a_value_is_in_no_argument_list_and_in_no_file_but_the_editors(
    sops_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(sops_project, tmp_path, monkeypatch, f"TOKEN: {CANARY}\nnested:\n  other: x-{CANARY}\n")
    variables = {"TMPDIR": str(tmp_path)}
    with argument_lists() as seen:
        assert secrets(sops_project, "get", "--name", "TOKEN", "--env", "prod", **variables).stdout == CANARY
        secrets(sops_project, "rotate-key", **variables)
    assert any("secrets rotate-key" in line for line in seen)
    assert not [line for line in seen if CANARY in line]
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY in path.read_text(errors="replace")]
    assert holding == [tmp_path / "editor.py"]
