"""`aws:NAME` and `aws:NAME#KEY`: AWS Secrets Manager. NAME may be an ARN; KEY picks from a JSON object.

Region and login are boto3's own: AWS_REGION, AWS_PROFILE, a role of the machine or of the workflow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    SecretError,
    UnreachableSourceError,
    picked,
    split,
)
from portside.secrets.clouds import library
from portside.thread import in_thread

# BatchGetSecretValue's own limit.
AT_ONCE = 20
# What AWS answers for a secret that isn't there, or is about to be deleted.
ABSENT = ("ResourceNotFoundException", "InvalidRequestException")
# Many roles may read secrets but not in a batch, which is a permission of its own.
DENIED = ("AccessDeniedException", "UnknownOperationException")

Answers = dict[str, str | SecretError]


class SecretsManager:
    def __init__(self, root: Path, env: str) -> None:
        self._client: Any = None

    async def fetch(self, reference: str) -> str:
        answer = (await self.fetch_many([reference]))[reference]
        if isinstance(answer, SecretError):
            raise answer
        return answer

    async def fetch_many(self, references: Sequence[str]) -> Mapping[str, str | SecretError]:
        names = sorted({split(reference)[0] for reference in references})
        self._client = self._client or await in_thread(_client, name="aws")
        parts = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
        found: Answers = {}
        for answers in await asyncio.gather(*(self._part(part) for part in parts)):
            found |= answers
        return {reference: _of(found, reference) for reference in references}

    async def _part(self, names: list[str]) -> Answers:
        if len(names) > 1:
            batch = await in_thread(lambda: _batch(self._client, names), name="aws")
            if batch is not None:
                return batch
        single = await asyncio.gather(
            *(in_thread(lambda name=name: _single(self._client, name), name="aws") for name in names)  # type: ignore[misc]
        )
        return dict(zip(names, single, strict=True))


def _client() -> Any:
    boto3, exceptions = library("boto3"), library("botocore.exceptions")
    settings = library("botocore.config").Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 2}
    )
    try:
        return boto3.session.Session().client("secretsmanager", config=settings)
    except exceptions.BotoCoreError as error:
        raise UnreachableSourceError(f"AWS: {error}") from None


def _batch(client: Any, names: list[str]) -> Answers | None:
    """One answer for all; None where this may not be asked in a batch."""
    try:
        answer = _asked(lambda: client.batch_get_secret_value(SecretIdList=names), "a batch of secrets")
    except _DeniedError:
        return None
    except SecretError as error:
        return dict.fromkeys(names, error)
    values: Answers = {}
    for entry in answer.get("SecretValues", ()):
        for name in names:
            if name in (entry["Name"], entry["ARN"]) or entry["ARN"].startswith(f"{name}-"):
                values[name] = _text(entry, name)
    for problem in answer.get("Errors", ()):
        values[problem["SecretId"]] = _error(problem["ErrorCode"], problem["SecretId"])
    return {name: values.get(name, MissingSecretError(f"AWS has no secret {name}")) for name in names}


def _single(client: Any, name: str) -> str | SecretError:
    try:
        return _text(_asked(lambda: client.get_secret_value(SecretId=name), name), name)
    except SecretError as error:
        return error


def _asked(ask: Any, name: str) -> Any:
    exceptions = library("botocore.exceptions")
    try:
        return ask()
    except exceptions.ClientError as error:
        raise _error(error.response["Error"]["Code"], name) from None
    except exceptions.BotoCoreError as error:
        raise UnreachableSourceError(f"AWS could not be asked for {name}: {error}") from None


class _DeniedError(UnreachableSourceError):
    pass


def _error(code: str, name: str) -> SecretError:
    if code in ABSENT:
        return MissingSecretError(f"AWS has no secret {name} ({code})")
    kind = _DeniedError if code in DENIED else UnreachableSourceError
    return kind(f"AWS refuses {name}: {code}")


def _text(entry: Mapping[str, Any], name: str) -> str | SecretError:
    if "SecretString" in entry:
        return str(entry["SecretString"])
    try:
        return bytes(entry["SecretBinary"]).decode()
    except UnicodeDecodeError:
        return MissingSecretError(f"the AWS secret {name} is binary, and an environment variable is text")


def _of(found: Answers, reference: str) -> str | SecretError:
    name, key = split(reference)
    answer = found[name]
    if isinstance(answer, SecretError):
        return answer
    try:
        return picked(answer, f"the AWS secret {name}", key)
    except MissingSecretError as error:
        return error
