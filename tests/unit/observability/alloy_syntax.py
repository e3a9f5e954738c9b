"""Alloy's configuration language as values, as far as ours uses it; whatever else stands there is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[3] / "observability/alloy/config.alloy"

TOKEN = re.compile(
    r"""
    (?P<skip>[ \t]+|//[^\n]*)
  | (?P<newline>\n)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
  | (?P<number>-?\d+(?:\.\d+)?)
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
  | (?P<mark>[{}\[\]()=,+])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Reference:
    """`loki.write.central.receiver`"""

    path: str


@dataclass(frozen=True)
class Call:
    """`sys.env("NAME")`, and `+` as a call of that name."""

    function: str
    arguments: tuple[Any, ...]


@dataclass
class Block:
    """`name "label" { … }`; a component's name has dots, and its label is what others refer to it by."""

    name: str
    label: str
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def all(self, name: str) -> list[Block]:
        return [block for block in self.blocks if block.name == name]

    def only(self, name: str) -> Block:
        (block,) = self.all(name)
        return block

    def values(self) -> Iterator[Any]:
        """Every value in it, and in the blocks in it, lists and maps taken apart."""
        for value in self.attributes.values():
            yield from _parts(value)
        for block in self.blocks:
            yield from block.values()


def _parts(value: Any) -> Iterator[Any]:
    yield value
    inner = value.arguments if isinstance(value, Call) else value.values() if isinstance(value, dict) else value
    for part in inner if isinstance(inner, Iterable) and not isinstance(inner, str) else ():
        yield from _parts(part)


def parse(text: str) -> Block:
    """The file as a block without a name. Raises ValueError with the line."""
    reader = _Reader(text)
    return reader.body(Block("", ""), end="")


def evaluated(value: Any, environ: Mapping[str, str]) -> Any:
    """A value with its functions called: `sys.env`, `coalesce`, `+`."""
    if not isinstance(value, Call):
        return value
    arguments = [evaluated(argument, environ) for argument in value.arguments]
    if value.function == "sys.env":
        return environ.get(arguments[0], "")
    if value.function == "coalesce":
        return next((argument for argument in arguments if argument), arguments[-1])
    if value.function == "+":
        return "".join(arguments)
    raise ValueError(f"no function {value.function}")


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        position, line = 0, 1
        while position < len(text):
            found = TOKEN.match(text, position)
            if not found:
                raise ValueError(f"line {line}: {text[position : position + 20]!r}")
            kind = str(found.lastgroup)
            if kind != "skip":
                self._tokens.append((kind, found[0], line))
            line += found[0].count("\n")
            position = found.end()
        self._tokens.append(("end", "", line))

    def body(self, block: Block, *, end: str) -> Block:
        while self._skip_newlines() != end:
            name = self._take("name")
            if self._peek() == "=":
                self._take("mark")
                if name in block.attributes:
                    raise ValueError(f"{name} is set twice in {block.name}")
                block.attributes[name] = self._expression()
                if self._peek() != end:
                    self._take("newline")
                continue
            label = self._string(self._take("string")) if self._kind() == "string" else ""
            self._take("mark", "{")
            block.blocks.append(self.body(Block(name, label), end="}"))
            self._take("mark", "}")
        return block

    def _expression(self) -> Any:
        value = self._operand()
        while self._peek() == "+":
            self._take("mark")
            value = Call("+", (value, self._operand()))
        return value

    def _operand(self) -> Any:
        kind = self._kind()
        if kind == "string":
            return self._string(self._take("string"))
        if kind == "number":
            return float(self._take("number"))
        if kind == "name":
            name = self._take("name")
            if self._peek() != "(":
                return {"true": True, "false": False, "null": None}.get(name, Reference(name))
            self._take("mark")
            return Call(name, tuple(self._items(")")))
        if self._peek() == "[":
            self._take("mark")
            return list(self._items("]"))
        self._take("mark", "{")
        return dict(self._items("}", keyed=True))

    def _items(self, end: str, *, keyed: bool = False) -> Iterator[Any]:
        while self._skip_newlines() != end:
            if keyed:
                key = self._take(self._kind())
                self._take("mark", "=")
                yield key.strip('"'), self._expression()
            else:
                yield self._expression()
            if self._skip_newlines() != end:
                self._take("mark", ",")
        self._take("mark", end)

    def _string(self, text: str) -> str:
        return text[1:-1] if text[0] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1])

    def _kind(self) -> str:
        return self._tokens[0][0]

    def _peek(self) -> str:
        return self._tokens[0][1]

    def _skip_newlines(self) -> str:
        while self._kind() == "newline":
            self._tokens.pop(0)
        return self._peek()

    def _take(self, kind: str, text: str = "") -> str:
        found, token, line = self._tokens.pop(0)
        if found != kind or (text and token != text):
            raise ValueError(f"line {line}: {token!r} where {text or kind} should be")
        return token
