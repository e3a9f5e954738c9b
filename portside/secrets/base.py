"""What a secret source is, and what its answers have in common."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from portside.secrets.scrub import scrub

K = TypeVar("K")
V = TypeVar("V")

# Until a cloud's client gives up on one connection or one answer; what all of a source may take is in fetching.py.
CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0


class SecretError(Exception):
    """A value can't be had. The text says where it was looked for, never a value."""


class MissingSecretError(SecretError):
    """The source was asked and has no such value, or an empty one."""


class UnreachableSourceError(SecretError):
    """The source could not be asked: no network, no login, no program. Says nothing about the value."""


class UnforeseenError(UnreachableSourceError):
    """What a client was never seen to raise. Its text may repeat what it was reading, so only its place is told."""

    def __init__(self, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        super().__init__(f"its answer could not be read ({type(error).__name__} at {place})")


class Source(Protocol):
    """One place that keeps secrets. Made once per command, with the project's folder and the environment's name."""

    def __init__(self, root: Path, env: str) -> None: ...

    async def fetch(self, reference: str) -> str:
        """The value behind `reference` (what follows `source:` in portside.toml). Raises SecretError."""


@runtime_checkable
class Batch(Protocol):
    """A source that answers for many references with one question."""

    async def fetch_many(self, references: Sequence[str]) -> Mapping[str, str | SecretError]:
        """Each reference's value, or why it can't be had."""


class Once(Generic[K, V]):
    """Asks for a key once, however many want the answer and whenever."""

    def __init__(self, ask: Callable[[K], Awaitable[V]]) -> None:
        self._ask = ask
        self._asked: dict[K, asyncio.Future[V]] = {}

    async def __call__(self, key: K) -> V:
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(self._ask(key))
            # Where nobody waits any more, a late failure is nobody's: asyncio would print its traceback.
            self._asked[key].add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        return await asyncio.shield(self._asked[key])


async def answer_of(fetch: Callable[[str], Awaitable[str]], reference: str) -> str | SecretError:
    """What `fetch` has for a reference, or why it can't be had: whatever it raises is no other reference's trouble."""
    try:
        return await fetch(reference)
    except SecretError as error:
        return error
    except Exception as error:
        return UnforeseenError(error)


async def first_alone(
    references: Sequence[str], fetch: Callable[[str], Awaitable[str]], hopeless: type[SecretError]
) -> dict[str, str | SecretError]:
    """What `fetch` has for each reference: for the first alone, since that may ask its person to log in, then for all
    others together; for none of them where the first is `hopeless`."""
    first, *others = references
    answers = [await answer_of(fetch, first)]
    if isinstance(answers[0], hopeless) and not isinstance(answers[0], UnforeseenError):
        answers += [answers[0]] * len(others)
    else:
        answers += await asyncio.gather(*(answer_of(fetch, each) for each in others))
    return dict(zip(references, answers, strict=True))


def line(error: Exception) -> str:
    """What a client's error says, on one line that fits a message."""
    return scrub(" ".join(str(error).split()))[:300]


def text(blob: bytes, name: str) -> str:
    """A value as text. Raises MissingSecretError for one that isn't."""
    try:
        return blob.decode()
    except UnicodeDecodeError:
        raise MissingSecretError(f"{name} is binary, and an environment variable is text") from None


def located(root: Path, name: str) -> Path | None:
    """The file that a reference names; None where there is none. Raises MissingSecretError for `~user` of nobody."""
    try:
        path = root / Path(name).expanduser()
    except RuntimeError as error:
        raise MissingSecretError(f"{name}: {error}") from None
    return path if path.is_file() else None


def split(reference: str) -> tuple[str, str]:
    """A reference `NAME` or `NAME#KEY` as (name, key); the key is empty where there is none."""
    name, _, key = reference.partition("#")
    return name, key


def picked(text: str, name: str, key: str) -> str:
    """`text`, or the value of `key` where it is a JSON object. Raises MissingSecretError."""
    if not key:
        return text
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise MissingSecretError(f"{name} isn't a JSON object, so it has no {key}")
    return member(members, name, key)


def member(members: Mapping[str, object], name: str, key: str) -> str:
    """A text of a mapping by its key, whole numbers as they are written. Raises MissingSecretError."""
    if key not in members:
        raise MissingSecretError(f"{name} has no {key}")
    value = members[key]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise MissingSecretError(f"{key} of {name} isn't a text: write it in quotes")
    return value
