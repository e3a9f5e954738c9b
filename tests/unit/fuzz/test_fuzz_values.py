"""A value arrives as it was given, or isn't taken: newlines, quotes, dollars, whatever a shell would make of it."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.errors import ConfigError
from portside.host.script import script_argv
from portside.journal import Entry, line
from portside.lock import Claim
from portside.release import archive, env_file
from portside.secrets import resolve
from tests.unit import builders
from tests.unit.fuzz.examples import FUZZED, HOSTILE_TEXT

HANDED = HOSTILE_TEXT.map(lambda text: text.replace("\0", ""))


@FUZZED
@given(st.dictionaries(st.sampled_from(["A", "B", "C"]), HANDED))
def test_values_survive_the_env_file(values: dict[str, str]) -> None:
    # python-dotenv knows no escaped dollar, and opens files with universal newlines; the lab asks Compose itself.
    text = env_file(values).replace("\\$", "$")
    assert dotenv_values(stream=io.StringIO(text), interpolate=False) == values


@FUZZED
@given(st.dictionaries(st.sampled_from(["env", "compose.yaml"]), HANDED))
def test_files_survive_the_way_to_a_host(files: dict[str, str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as tar:
        found = {member.name: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]
    assert found == files


@pytest.mark.parametrize(
    ("reference", "file"),
    [("file:x.env#TOKEN", b'TOKEN="a\0b"\n'), ("file:x.env#TOKEN", b"TOKEN=a\xff"), ("env:TOKEN", b"")],
)
async def test_a_secret_that_no_process_can_be_handed_is_refused_by_its_name(
    reference: str, file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.env").touch(0o600)
    (tmp_path / "x.env").write_bytes(file)
    monkeypatch.setenv("TOKEN", "a\udcffb")
    with pytest.raises(ConfigError) as caught:
        await resolve(builders.environment(secrets={"TOKEN": reference}), tmp_path)
    assert "TOKEN: " in caught.value.why


@FUZZED
@given(HANDED)
def test_a_journal_line_is_one_line_and_comes_back(reason: str) -> None:
    written = line(builders.operation(), "undo", "end", reason)
    assert "\n" not in written
    assert Entry.model_validate_json(f'{{"at":1,{written[1:]}').reason == reason


@FUZZED
@given(HANDED)
def test_a_lock_s_message_is_one_line(message: str) -> None:
    assert Claim("prod", message, "deploy", 30, message=message).holder.count(b"\n") == 1


@settings(FUZZED, max_examples=FUZZED.max_examples // 2)
@given(st.lists(HANDED, min_size=1, max_size=8))
def test_bash_takes_no_argument_for_anything_but_an_argument(arguments: list[str]) -> None:
    """The way of every command: quoted by us, taken apart by the host's shell."""
    argv = script_argv("state", "links-prod", *arguments)
    argv[2] = 'printf "%s\\0" "$@"'
    done = subprocess.run(["bash", "-c", shlex.join(argv)], capture_output=True, check=True, timeout=30)
    assert done.stdout.decode().split("\0")[:-1] == ["links-prod", *arguments]
