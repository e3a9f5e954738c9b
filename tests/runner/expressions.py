"""GitHub's expressions, as far as the workflows of this repository use them; any other one is an error.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

FUNCTIONS = ("success", "failure", "cancelled", "always")
TOKEN = re.compile(r"\s*(?:(?P<text>'[^']*')|(?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*)|(?P<sign>==|!=|&&|\|\||[()]))")

Contexts = Mapping[str, Any]


class UnsupportedError(AssertionError):
    """The workflow uses something that this runner doesn't know."""


def filled(text: str, contexts: Contexts) -> str:
    """`text` with every ${{ … }} replaced by its value."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: shown(evaluate(match[1], contexts)), text)


def holds(condition: str, contexts: Contexts, *, so_far: str) -> bool:
    """Whether an `if` holds. `so_far` is how it went until here: success, failure or cancelled."""
    text = condition.strip().removeprefix("${{").removesuffix("}}")
    status = {name: name in ("always", so_far) for name in FUNCTIONS}
    value = bool(evaluate(text, {**contexts, "()": status})) if text else True
    # What says nothing of the outcome of earlier steps runs only when all went well.
    return value and (so_far == "success" or any(f"{name}()" in text for name in FUNCTIONS))


def evaluate(text: str, contexts: Contexts) -> Any:
    tokens = _tokens(text)
    value = _disjunction(tokens, contexts)
    if tokens:
        raise UnsupportedError(f"{text.strip()}: at {tokens[0]}")
    return value


def shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise UnsupportedError(f"{text}: at {text[at:]}")
        tokens.append(match[0].strip())
        at = match.end()
    return tokens


def _disjunction(tokens: list[str], contexts: Contexts) -> Any:
    value = _conjunction(tokens, contexts)
    while tokens[:1] == ["||"]:
        tokens.pop(0)
        right = _conjunction(tokens, contexts)
        value = value or right
    return value


def _conjunction(tokens: list[str], contexts: Contexts) -> Any:
    value = _comparison(tokens, contexts)
    while tokens[:1] == ["&&"]:
        tokens.pop(0)
        right = _comparison(tokens, contexts)
        value = right if value else value
    return value


def _comparison(tokens: list[str], contexts: Contexts) -> Any:
    value = _term(tokens, contexts)
    if tokens[:1] in (["=="], ["!="]):
        equal = tokens.pop(0) == "=="
        return (value == _term(tokens, contexts)) is equal
    return value


def _term(tokens: list[str], contexts: Contexts) -> Any:
    token = tokens.pop(0) if tokens else ""
    if token.startswith("'"):
        return token[1:-1]
    if token == "(":
        value = _disjunction(tokens, contexts)
        if tokens[:1] != [")"]:
            raise UnsupportedError(f"( is never closed: {tokens}")
        tokens.pop(0)
        return value
    if token in FUNCTIONS and tokens[:2] == ["(", ")"]:
        del tokens[:2]
        if "()" not in contexts:
            raise UnsupportedError(f"{token}() outside of an if")
        return contexts["()"][token]
    return _looked_up(token, contexts)


def _looked_up(path: str, contexts: Contexts) -> Any:
    """A secret, variable or output that isn't there is empty, as on GitHub; everything else must be known."""
    value: Any = contexts
    names = path.split(".")
    for position, name in enumerate(names):
        if not isinstance(value, Mapping) or name not in value:
            if position and names[position - 1] in ("secrets", "vars", "outputs"):
                return ""
            raise UnsupportedError(f"{path}: no {name}")
        value = value[name]
    return value
