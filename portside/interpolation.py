"""`${NAME}` in the texts of a Compose file, as Compose understands it.

https://docs.docker.com/reference/compose-file/interpolation/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from portside.errors import ConfigError

# `$$`, `$NAME`, or how `${NAME…}` begins. Any other dollar sign is text.
DOLLAR = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?:(?P<braced>[A-Za-z_]\w*)(?P<operator>:?[-?+]|(?=\})))?)",
    re.ASCII,
)
SHOWN = 40


@dataclass(frozen=True)
class Variable:
    """`${name}`, or `${name<operator>operand}`, whose operand may hold variables itself."""

    name: str
    operator: str = ""
    operand: str = ""


def interpolated(value: Any, variables: Mapping[str, str], where: str) -> Any:
    """`value` with `${NAME}` replaced, and every dollar sign left doubled, so that Compose takes it literally."""
    if isinstance(value, dict):
        return {key: interpolated(inner, variables, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, variables, where) for inner in value]
    return expanded(value, variables, where).replace("$", "$$") if isinstance(value, str) else value


def expanded(text: str, variables: Mapping[str, str], where: str) -> str:
    """`text` with its variables put in; ConfigError for one that has to be set and isn't."""
    return "".join(part if isinstance(part, str) else _value(part, variables, where) for part in _parts(text, where))


def named_variables(data: Any, where: str) -> dict[str, bool]:
    """The variables that a Compose file takes from outside, each with whether it has to be set.

    They are `${NAME}`, which may have a default, and `environment` keys without a value.
    """
    found: dict[str, bool] = {}
    for name, needed in _named(data, where):
        found[name] = found.get(name, False) or needed
    return found


def _named(data: Any, where: str) -> Iterator[tuple[str, bool]]:
    if isinstance(data, str):
        yield from _in_text(data, where)
    elif isinstance(data, list):
        for inner in data:
            yield from _named(inner, where)
    elif isinstance(data, dict):
        for inner in data.values():
            yield from _named(inner, where)
        environment = data.get("environment")
        if isinstance(environment, dict):
            yield from ((key, True) for key, value in environment.items() if value is None)
        elif isinstance(environment, list):
            yield from ((entry, True) for entry in environment if isinstance(entry, str) and "=" not in entry)


def _in_text(text: str, where: str) -> Iterator[tuple[str, bool]]:
    """The variables in `text`, each with whether it has to be set: what stands in an operand may not be needed."""
    for part in _parts(text, where):
        if isinstance(part, Variable):
            yield part.name, part.operator[-1:] in ("", "?")
            yield from ((name, False) for name, _ in _in_text(part.operand, where))


def _parts(text: str, where: str) -> Iterator[str | Variable]:
    at = 0
    while dollar := DOLLAR.search(text, at):
        yield text[at : dollar.start()]
        at = dollar.end()
        if dollar["escaped"]:
            yield "$"
        elif dollar["plain"]:
            yield Variable(dollar["plain"])
        else:
            end = _closing(text, at)
            if not dollar["braced"] or end is None:
                raise ConfigError(
                    f"{text[dollar.start() :][:SHOWN]!r} is no variable",
                    where=where,
                    remedy="Write ${NAME}, ${NAME:-default}, or $$ for a dollar sign.",
                )
            yield Variable(dollar["braced"], dollar["operator"], text[at:end])
            at = end + 1
    yield text[at:]


def _closing(text: str, start: int) -> int | None:
    """Where the brace is closed that was opened before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += (text[index] == "{") - (text[index] == "}")
        if not depth:
            return index
    return None


def _value(variable: Variable, variables: Mapping[str, str], where: str) -> str:
    value = variables.get(variable.name)
    # With a colon, an empty value is none.
    given = bool(value) if variable.operator.startswith(":") else value is not None
    kind = variable.operator[-1:]
    if kind == "+":
        return expanded(variable.operand, variables, where) if given else ""
    if given:
        return value or ""
    if kind == "-":
        return expanded(variable.operand, variables, where)
    raise ConfigError(
        f"${{{variable.name}}} is {'not set' if value is None else 'empty'}",
        where=where,
        why=variable.operand,
        remedy="Set it in `env` of the environment. A secret can't be used here: the service finds it in its "
        "environment under its own name.",
    )
