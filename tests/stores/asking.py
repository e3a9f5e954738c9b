"""How tests ask the sources, as somebody who is logged in to a store or isn't."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from portside.secrets import fetch
from portside.secrets.base import SecretError
from tests.stores.base import Store

CANARY = "stores-canary-4f1d"


def logged_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store with nothing in it but what a test puts there."""
    store.reset()
    become(monkeypatch, store.variables)
    return store


def become(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


async def asked(*references: str) -> Mapping[str, str | SecretError]:
    return await fetch(references, Path("/"), "prod")


async def why(reference: str) -> SecretError:
    """Why it can't be had, which is said without a value."""
    answer = (await asked(reference))[reference]
    assert isinstance(answer, SecretError)
    assert CANARY not in str(answer)
    return answer
