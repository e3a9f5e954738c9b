"""Ask the sources: all at once, each in one batch where it can, before a deadline, and once per command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from portside.secrets.base import (
    Batch,
    MissingSecretError,
    SecretError,
    Source,
    UnforeseenError,
    UnreachableSourceError,
    answer_of,
)
from portside.secrets.scrub import learn
from portside.secrets.sources import SOURCES

# What all references of one source may take together, a person's fingerprint included.
SECONDS = 30.0


@dataclass
class Keyring:
    """The sources that a command has asked, and what they answered."""

    sources: dict[tuple[Path, str, str], Source] = field(default_factory=dict)
    values: dict[tuple[Path, str, str], str] = field(default_factory=dict)

    def source(self, root: Path, env: str, kind: str) -> Source:
        key = (root, env, kind)
        if key not in self.sources:
            self.sources[key] = SOURCES[kind](root, env)
        return self.sources[key]


_KEYRING: ContextVar[Keyring | None] = ContextVar("keyring", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Within, nothing is asked for twice: a command decrypts a file once, whoever wants something of it."""
    token = _KEYRING.set(Keyring())
    try:
        yield
    finally:
        _KEYRING.reset(token)


async def fetch(references: Iterable[str], root: Path, env: str) -> Mapping[str, str | SecretError]:
    """Each reference (`source:reference`) with its value, or why it can't be had. Every value is known to scrub()."""
    keyring = _KEYRING.get() or Keyring()
    wanted: dict[str, list[str]] = {}
    answers: dict[str, str | SecretError] = {}
    for whole in sorted(set(references)):
        kind, _, reference = whole.partition(":")
        known = keyring.values.get((root, env, whole))
        if known is None:
            wanted.setdefault(kind, []).append(reference)
        else:
            answers[whole] = known
    asked = await asyncio.gather(*(_asked(keyring.source(root, env, kind), kind, wanted[kind]) for kind in wanted))
    for kind, found in zip(wanted, asked, strict=True):
        for reference, answer in found.items():
            whole = f"{kind}:{reference}"
            if answer == "":
                answer = MissingSecretError(f"{whole} is empty")  # noqa: PLW2901
            elif isinstance(answer, str) and not handable(answer):
                answer = MissingSecretError(f"{whole} is no text that an environment can hold")  # noqa: PLW2901
            if isinstance(answer, str):
                learn([answer])
                keyring.values[root, env, whole] = answer
            answers[whole] = answer
    return answers


def handable(value: str) -> bool:
    """Whether a process can be handed `value`: not what has a NUL character, or bytes that were no UTF-8."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


async def _asked(source: Source, kind: str, references: Sequence[str]) -> Mapping[str, str | SecretError]:
    try:
        async with asyncio.timeout(SECONDS):
            if isinstance(source, Batch):
                return await source.fetch_many(references)
            answers = await asyncio.gather(*(answer_of(source.fetch, reference) for reference in references))
            return dict(zip(references, answers, strict=True))
    except TimeoutError:
        late = UnreachableSourceError(f"{kind} did not answer within {SECONDS:g} s")
        return dict.fromkeys(references, late)
    except SecretError as error:
        return dict.fromkeys(references, error)
    except Exception as error:
        return dict.fromkeys(references, UnforeseenError(error))
