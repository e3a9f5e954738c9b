"""The pages that repeat what the code says are checked against it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from portside import errors
from portside.config import (
    Build,
    Environment,
    Ignore,
    Images,
    Judge,
    Notifier,
    Observe,
    Receiver,
    Scan,
    Service,
    Signing,
    Slo,
)
from portside.errors import PortsideError
from portside.image.registry import PASSWORD, USERNAME
from portside.secrets import SOURCES

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = {
    "[service]": Service,
    "[images]": Images,
    "[build]": Build,
    "[env.NAME]": Environment,
    "[judge]": Judge,
    "[observe]": Observe,
    "[observe.slo]": Slo,
    "[observe.receivers.NAME]": Receiver,
    "[scan]": Scan,
    "[signing]": Signing,
    "[[scan.ignore]]": Ignore,
    "[notify.NAME]": Notifier,
}


def rows(page: str, section: str = "") -> dict[str, list[str]]:
    """The table rows of a page's section: first cell to the others, without backticks."""
    text = (DOCS / page).read_text()
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = (re.split(r"(?<!\\)\|", line.strip("|")) for line in text.splitlines() if line.startswith("|"))
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in cells}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_with_its_default(section: str) -> None:
    documented = rows("configuration.md", section)
    for attribute, field in SECTIONS[section].model_fields.items():
        name = field.alias or attribute
        if section == "[env.NAME]" and name == "name":
            continue
        assert name in documented, f"{section} {name} is missing in docs/configuration.md"
        if field.default in (None, PydanticUndefined, (), {}) or isinstance(field.default, BaseModel):
            continue
        default = field.default[0] if isinstance(field.default, tuple) else field.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert f"`{shown}`" in documented[name][1], f"{section} {name}: its default is {shown}"


@pytest.mark.parametrize("section", SECTIONS)
def test_no_key_is_documented_that_is_not_there(section: str) -> None:
    documented = set(rows("configuration.md", section)) - {"key"}
    assert {name for name in documented if not name.startswith("-")} <= {
        field.alias or name for name, field in SECTIONS[section].model_fields.items()
    }


def test_every_secret_source_is_documented() -> None:
    assert set(SOURCES) <= set(rows("configuration.md", "Secrets"))


def test_exit_codes_are_those_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PortsideError)]
    documented = rows("exit-codes.md")
    for kind in kinds:
        name, meaning = documented[str(kind.exit_code)][:2]
        assert name == f"`{kind.__name__}`"
        if kind is not PortsideError:
            assert kind.__doc__ == meaning
    named = [row for row in documented.values() if row[0].startswith("`")]
    assert len(named) == len(kinds)


def test_the_keys_of_the_demo_s_object_are_documented() -> None:
    keys = {name for cell in rows("demo.md", "For scripts") for name in re.findall(r"\w+", cell)}
    object_of_it = (DOCS.parent / "portside/demo/report.py").read_text().split("def as_dict")[1].split("\n    def ")[0]
    assert set(re.findall(r'^ {12}"(\w+)":', object_of_it, re.MULTILINE)) <= keys


def test_the_variables_that_log_in_to_a_registry_are_documented() -> None:
    documented = "".join(rows("configuration.md", "Environment variables"))
    assert USERNAME in documented and PASSWORD in documented
