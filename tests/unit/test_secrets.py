"""Where values come from, and what is said when they don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.errors import ConfigError
from portside.secrets import accessory_values, plain_variables, resolve
from tests.unit.builders import environment


async def test_values_are_composed_of_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "s3cret")
    made = environment(
        env={"URL": "postgres://u:${PW}@h", "PLAIN": "x", "LITERAL": "$${PW}"},
        secrets={"PW": "env:OUTSIDE", "OTHER": "env:OUTSIDE"},
    )
    assert await resolve(made, tmp_path) == {
        "URL": "postgres://u:s3cret@h",
        "PLAIN": "x",
        "LITERAL": "${PW}",
        "OTHER": "s3cret",
    }
    assert plain_variables(made) == {"PLAIN": "x", "LITERAL": "${PW}"}


async def test_a_dotenv_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "prod.env"
    file.write_text("export A='with space'\nB=${NOT_EXPANDED}\n")
    file.chmod(0o600)
    values = await resolve(environment(secrets={"A": "file:prod.env#A", "B": "file:prod.env#B"}), tmp_path)
    assert values == {"A": "with space", "B": "${NOT_EXPANDED}"}


async def test_a_generated_value_stays_the_same_and_is_private(tmp_path: Path) -> None:
    made = environment(secrets={"PW": "generated:PW"})
    first = await resolve(made, tmp_path)
    assert await resolve(made, tmp_path) == first
    (kept,) = (tmp_path / ".portside/secrets").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"secrets": {"A": "env:NOT_THERE", "B": "file:no.env#B"}}, "2 secrets are missing"),
        ({"secrets": {"A": "vault:x"}}, "no secret source 'vault'"),
        ({"env": {"A": "${B}"}}, "${B} isn't among"),
    ],
)
async def test_what_is_missing_is_named(tmp_path: Path, settings: dict[str, dict[str, str]], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await resolve(environment(**settings), tmp_path)
    assert named in str(caught.value)


async def test_accessories_get_only_what_they_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "s3cret")
    made = environment(secrets={"PW": "env:OUTSIDE", "MORE": "env:OUTSIDE"}, env={"SIZE": "1"})
    assert await accessory_values(made, tmp_path, {"PW", "SIZE"}) == {"PW": "s3cret", "SIZE": "1"}
    with pytest.raises(ConfigError, match="NOT_ASKED_FOR"):
        await accessory_values(made, tmp_path, {"NOT_ASKED_FOR"})
