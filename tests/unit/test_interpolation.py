"""`${NAME}` in a Compose file: what stands there in its place, and what has to be set for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portside.errors import ConfigError
from portside.interpolation import expanded, interpolated, named_variables
from portside.making import read_accessories
from tests.unit import builders

SET = {"A": "1", "E": ""}


# Each as `docker compose config` (2.26.1) has it.
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("$A-${A}", "1-1"),
        ("${E}", ""),
        ("${N:-x}", "x"),
        ("${E:-x}", "x"),
        ("${E-x}", ""),
        ("${N-}", ""),
        ("${A:+yes}", "yes"),
        ("${E:+yes}", ""),
        ("${E+yes}", "yes"),
        ("${N+yes}", ""),
        ("${A:?say}", "1"),
        ("${E?say}", ""),
        ("${A:-${B:-x}}", "1"),
        ("${N:-${B:-x}}", "x"),
        ("${N:-${A}${A}}", "11"),
        ("${A+${N:-q}}", "q"),
        ("${N:-a}b}", "ab}"),
        ("${A:-{x}}", "1"),
        ("${N:-{x}}", "{x}"),
        ("${N:-a:-b}", "a:-b"),
        ("${N:-a$$b}", "a$b"),
        ("$$A $${A} $$$A", "$A ${A} $1"),
        ("100$ $1 $(date) a$-b", "100$ $1 $(date) a$-b"),
    ],
)
def test_a_variable_is_what_compose_makes_of_it(text: str, meant: str) -> None:
    assert expanded(text, SET, "f") == meant
    assert interpolated([text], SET, "f") == [meant.replace("$", "$$")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${N}", "${N} is not set"),
        ("$N", "${N} is not set"),
        ("${N?say why}", "say why"),
        ("${E:?say why}", "${E} is empty"),
        ("${N:-${M}}", "${M} is not set"),
        ("${A", "'${A' is no variable"),
        ("${A.b}", "is no variable"),
        ("${}", "is no variable"),
        ("${1}", "is no variable"),
    ],
)
def test_what_is_not_set_or_no_variable_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        interpolated({"command": [text]}, SET, "app.yaml: services.web")
    assert said in str(caught.value)
    assert caught.value.where == "app.yaml: services.web.command"


def test_a_variable_with_a_default_may_be_missing() -> None:
    texts = ["${A:-x}", "${B:?say}", "${C:-${D}}", "$E", "${F+x}", "$$G", "${E:-x}"]
    assert named_variables(texts, "f") == {"A": False, "B": True, "C": False, "D": False, "E": True, "F": False}


async def test_an_accessory_gets_its_default_its_secret_and_its_image_by_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "hunter2")
    (tmp_path / "accessories.yaml").write_text(
        "services: {db: {image: 'postgres:${PG:-17}', environment: {P: '${PASSWORD:?set it}', ZIP: '01089'}}}\n"
    )
    made = builders.config(tmp_path, secrets={"PASSWORD": "env:STORE_PASSWORD"})
    service = made.service.model_copy(update={"accessories": Path("accessories.yaml")})
    config = made.model_copy(update={"service": service})
    accessories = await read_accessories(config, config.environment("prod"))
    assert accessories is not None
    assert accessories.images == ("postgres:17",)
    assert accessories.files["env"].startswith("PASSWORD=")
    assert "ZIP: '01089'" in accessories.files["compose.yaml"]
