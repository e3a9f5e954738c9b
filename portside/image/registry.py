"""Push an image to an OCI registry; the digest that comes back is what hosts pull by."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from portside.command import Result, run_command, tail
from portside.errors import BuildError
from portside.image.reference import Reference, parse_reference

USERNAME = "PORTSIDE_REGISTRY_USERNAME"
PASSWORD = "PORTSIDE_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable
QUESTION_SECONDS = 30.0
PUSH_SECONDS = 1800.0
PAUSES = (1.0, 3.0, 9.0)

_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
# A push that is cut leaves nothing behind but layers, so these may be tried again. A refusal may not.
_PASSING = re.compile(
    r"timeout|timed out|deadline exceeded|connection (reset|refused)|broken pipe|\bEOF\b|temporary failure"
    r"|too ?many ?requests|\b429\b|\b50[0234]\b|service unavailable|bad gateway",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"denied|unauthorized|authentication required|no basic auth|forbidden", re.IGNORECASE)

Say = Callable[[str], None]


async def push_image(
    image: str,
    target: str,
    *,
    say: Say,
    environ: Mapping[str, str] = os.environ,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str:
    """Push the local `image` as `target` (`registry/name:tag`); returns `registry/name@sha256:…`.

    Logs in with PORTSIDE_REGISTRY_USERNAME and PORTSIDE_REGISTRY_PASSWORD when both are set, and leaves no
    trace of them; otherwise the user's own `docker login` counts. Failures of the network are tried again
    after 1, 3 and 9 s; a refusal isn't. Raises BuildError.
    """
    where = parse_reference(target)
    tagged = await run_command(["docker", "tag", image, where.tagged], timeout=QUESTION_SECONDS)
    tagged.check(f"the image {image} could not be named {where.tagged}", remedy="Type `invoke build`.")
    async with logged_in(where, environ) as login:
        for pause in (*PAUSES, None):
            result = await run_command(["docker", "push", where.tagged], timeout=PUSH_SECONDS, env=login)
            output = (result.stdout + result.stderr).decode(errors="replace")
            if result.exit_code == 0:
                break
            if pause is None or not worth_repeating(output):
                raise _failed(where, result, environ)
            say(f"push to {where.registry} failed ({tail(output, 1)[:120]}), trying again in {pause:g} s")
            await sleep(pause)
    digest = _DIGEST.search(output)
    if digest is None:
        raise BuildError(f"`docker push {where.tagged}` reported no digest", where=where.registry, why=output)
    say(f"pushed {where.tagged}")
    return f"{where.name}@{digest[1]}"


def worth_repeating(output: str) -> bool:
    """True when the failure may pass by itself."""
    return bool(_PASSING.search(output)) and not refused(output)


def refused(output: str) -> bool:
    """True when a registry wants a login, or another one."""
    return bool(_REFUSED.search(output))


def who(where: Reference) -> str:
    """What to check when a registry refuses."""
    return f"Check {USERNAME} and {PASSWORD}, or without them `docker login {where.registry}`"


def variables_for(reference: str, registry: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ`, without PORTSIDE_REGISTRY_* where `reference` is in another registry than `registry`, which is an
    environment's of portside.toml: another one has no business with their values."""
    if registry != "none" and parse_reference(registry).registry == parse_reference(reference).registry:
        return environ
    return {name: value for name, value in environ.items() if name not in (USERNAME, PASSWORD)}


def docker_folder(environ: Mapping[str, str]) -> Path:
    """Where the user's `docker` keeps its settings."""
    return Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker").absolute()


@asynccontextmanager
async def logged_in(where: Reference, environ: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """The variables under which docker is logged in to the registry, for as long as the block lasts."""
    username, password = environ.get(USERNAME), environ.get(PASSWORD)
    if not username or not password:
        if username or password:
            missing = PASSWORD if username else USERNAME
            raise BuildError(f"{missing} isn't set", where="the environment", remedy="Set both, or neither.")
        yield {}
        return
    context = (await run_command(["docker", "context", "show"], timeout=QUESTION_SECONDS)).text
    with tempfile.TemporaryDirectory(prefix="portside-login-") as folder:
        # With a folder of its own, docker would forget which Engine the user's context names, and the keys to it.
        (Path(folder) / "contexts").symlink_to(docker_folder(environ) / "contexts")
        private = {"DOCKER_CONFIG": folder, "DOCKER_CONTEXT": "" if environ.get("DOCKER_HOST") else context}
        command = ["docker", "login", "--username", username, "--password-stdin", where.registry]
        result = await run_command(command, timeout=QUESTION_SECONDS, stdin=password.encode(), env=private)
        if result.exit_code != 0:
            raise _failed(where, result, environ)
        yield private


def _failed(where: Reference, result: Result, environ: Mapping[str, str]) -> BuildError:
    why = tail(result.stderr or result.stdout)
    password = environ.get(PASSWORD)
    denied = refused(why)
    return BuildError(
        f"the registry refused {where.tagged}" if denied else f"{where.tagged} could not be pushed",
        where=where.registry,
        why=why.replace(password, "…") if password else why,
        remedy=f"{who(where)}, and that this user may push to {where.repository}."
        if denied
        else "Check the address of the registry and the network, then type `invoke push`.",
    )
