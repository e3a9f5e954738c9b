"""When a registry is given up on, and when only an image is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from portside.command import Result
from portside.errors import BuildError, CommandError
from portside.image import bases
from portside.image.reference import parse_reference

UNREACHABLE = b'Error response from daemon: Get "https://r/v2/": dial tcp: lookup r: no such host'
UNKNOWN = b"Error response from daemon: manifest for r/a:1 not found: manifest unknown"


class Docker:
    """Answers every command with `stderr` and a failure, and keeps what it was asked."""

    def __init__(self, stderr: bytes) -> None:
        self.stderr = stderr
        self.asked: list[tuple[str, ...]] = []

    async def __call__(self, argv: Sequence[str], **options: object) -> Result:
        self.asked.append(tuple(argv))
        return Result(tuple(argv), 1, b"", self.stderr)


async def test_one_failure_to_reach_a_registry_speaks_for_its_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(UNREACHABLE)
    monkeypatch.setattr(bases, "run_command", docker)
    first = await bases._pull("r.example/a:1", "r.example", tmp_path)
    second = await bases._pull("r.example/b:1", "r.example", tmp_path)
    assert first == second == UNREACHABLE.decode()
    assert len(docker.asked) == 1
    await bases._pull("other.example/a:1", "other.example", tmp_path)
    assert len(docker.asked) == 2


async def test_an_image_that_a_registry_lacks_says_nothing_of_its_other_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(UNKNOWN)
    monkeypatch.setattr(bases, "run_command", docker)
    await bases._pull("r.example/a:1", "r.example", tmp_path)
    await bases._pull("r.example/b:1", "r.example", tmp_path)
    assert len(docker.asked) == 2


async def test_a_pull_that_hangs_counts_as_a_registry_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(argv: Sequence[str], **options: object) -> Result:
        raise CommandError("`docker pull` did not finish within 600 s")

    monkeypatch.setattr(bases, "run_command", hang)
    assert "did not finish" in await bases._pull("r.example/a:1", "r.example", tmp_path)
    assert bases.noted("the registry r.example", folder=tmp_path, seconds=60)


@pytest.mark.parametrize("named_in", ["portside.toml", "compose/accessories.yaml"])
async def test_where_another_image_is_to_be_named_is_where_this_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_in: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bases, "run_command", Docker(b"No such image: manifest unknown"))
    with pytest.raises(BuildError) as caught:
        await bases.ensure_image("r.example/a:1", say=print, named_in=named_in)
    assert f"name another image in {named_in}, or" in caught.value.remedy


async def test_an_engine_that_does_not_answer_is_not_taken_for_a_missing_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bases, "run_command", Docker(b"Cannot connect to the Docker daemon"))
    with pytest.raises(CommandError, match="doesn't answer"):
        await bases._present(parse_reference("caddy:2"))


async def test_a_digest_is_not_satisfied_by_another_image_under_the_same_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def has_the_tag_only(argv: Sequence[str], **options: object) -> Result:
        found = "@" not in argv[-1]
        return Result(tuple(argv), 0 if found else 1, b"{}" if found else b"", b"" if found else b"No such image: x")

    monkeypatch.setattr(bases, "run_command", has_the_tag_only)
    assert await bases._present(parse_reference("caddy:2@sha256:" + "a" * 64)) is None
    assert await bases._present(parse_reference("caddy:2")) is False
