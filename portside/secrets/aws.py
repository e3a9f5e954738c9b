"""`aws:NAME` and `aws:NAME#KEY`: AWS Secrets Manager. NAME may be an ARN; KEY picks from a JSON object.

Login is boto3's own: AWS_PROFILE, keys, a role of the machine or of the workflow. AWS_ENDPOINT_URL names a private
endpoint.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portside.secrets.base import (
    CONNECT_SECONDS,
    READ_SECONDS,
    MissingSecretError,
    SecretError,
    UnreachableSourceError,
    line,
    picked,
    split,
    text,
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
    # boto3 alone among AWS's clients doesn't read AWS_REGION (https://github.com/boto/boto3/issues/3620).
    region = os.environ.get("AWS_REGION") or None
    try:
        return boto3.session.Session(region_name=region).client("secretsmanager", config=settings)
    except exceptions.NoRegionError:
        raise UnreachableSourceError("AWS's region isn't known: set AWS_REGION, or name it in AWS_PROFILE") from None
    except (exceptions.BotoCoreError, ValueError) as error:
        raise UnreachableSourceError(f"AWS can't be asked with these settings: {line(error)}") from None


def _batch(client: Any, names: list[str]) -> Answers | None:
    """One answer for all; None where this may not be asked in a batch, or is refused for one of them."""
    try:
        answer = _asked(lambda: client.batch_get_secret_value(SecretIdList=names), "a batch of secrets")
    except (_DeniedError, MissingSecretError):
        return None
    except SecretError as error:
        return dict.fromkeys(names, error)
    values: Answers = {}
    for entry in answer.get("SecretValues", ()):
        for name in names:
            # An ARN ends in a hyphen and six characters, which may be left out.
            if name in (entry["Name"], entry["ARN"], entry["ARN"][:-7]):
                values[name] = _text(entry, name)
    for problem in answer.get("Errors", ()):
        values[problem["SecretId"]] = _error(problem["ErrorCode"], problem["SecretId"], problem.get("Message", ""))
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
        said = error.response["Error"]
        denied = error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        raise _error(said["Code"], name, said.get("Message", ""), denied=denied) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise UnreachableSourceError("nobody is logged in to AWS: aws configure, AWS_PROFILE or a role") from None
    except exceptions.BotoCoreError as error:
        raise UnreachableSourceError(f"AWS could not be asked for {name}: {line(error)}") from None


class _DeniedError(UnreachableSourceError):
    pass


def _error(code: str, name: str, message: str, *, denied: bool = False) -> SecretError:
    if code in ABSENT:
        return MissingSecretError(f"AWS has no secret {name} ({code})")
    kind = _DeniedError if denied or code in DENIED else UnreachableSourceError
    return kind(f"AWS refuses {name}: {code} {message}".strip())


def _text(entry: Mapping[str, Any], name: str) -> str | SecretError:
    if "SecretString" in entry:
        return str(entry["SecretString"])
    try:
        return text(bytes(entry["SecretBinary"]), f"the AWS secret {name}")
    except MissingSecretError as error:
        return error


def _of(found: Answers, reference: str) -> str | SecretError:
    name, key = split(reference)
    answer = found[name]
    if isinstance(answer, SecretError):
        return answer
    try:
        return picked(answer, f"the AWS secret {name}", key)
    except MissingSecretError as error:
        return error
