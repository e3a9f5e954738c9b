"""SOPS files as a person keeps them: made, edited, given another key. Plain text is only ever in SOPS' own hands."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from portside.command import run_command
from portside.errors import CommandError, ConfigError
from portside.secrets.age import ELSEWHERE, key_file, new_key, recipients
from portside.secrets.base import UnreachableSourceError
from portside.secrets.ignored import taken_by_git
from portside.secrets.program import find
from portside.secrets.sops import INSTALL, QUIET

RULES = ".sops.yaml"
SECONDS = 60.0
KINDS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv"}
# From SOPS' cmd/sops/codes.
UNCHANGED = 200


@dataclass(frozen=True)
class Key:
    """A key by its public half, and the file that has the private one; None where it is in SOPS_AGE_KEY.

    `new`: it was made just now.
    """

    recipient: str
    file: Path | None
    new: bool


@dataclass(frozen=True)
class Rotated:
    """A key that was replaced: public halves, and the files that were encrypted anew."""

    old: str
    new: str
    key_file: Path
    files: tuple[str, ...]


def relative(root: Path, name: str) -> str:
    """`name` as a path below the project's folder. Raises ConfigError for one elsewhere, or of another kind."""
    path = (root / Path(name).expanduser()).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError("it isn't in this project", where=name, remedy="Name a file below portside.toml's folder.")
    if path.suffix not in KINDS:
        raise ConfigError("SOPS has no names in such a file", where=name, remedy="Use .yaml, .json or .env.")
    return str(path.relative_to(root.resolve()))


async def ensure_key(root: Path, file: str | None = None) -> Key:
    """This person's key, or the one in `file`; made where there is none. Raises ConfigError.

    Of several it is the one that .sops.yaml names, or else the last: a key that was replaced stays in front of it.
    """
    places = {"SOPS_AGE_KEY_FILE": file} if file else os.environ
    known, path = recipients(places), key_file(places)
    if known:
        rules = root / RULES
        own = _among(known, rules.read_text()) if rules.is_file() else []
        recipient = (own or known)[-1]
        return Key(recipient, path if recipient in recipients({"SOPS_AGE_KEY_FILE": str(path)}) else None, False)
    if file and path.exists():
        raise ConfigError("it has no age key", where=file, remedy="Name a file that isn't there: one is made in it.")
    await _kept_out_of_git(path)
    return Key(new_key(path, f"made for {root.name}"), path, True)


async def make(root: Path, name: str, names: Collection[str]) -> Key:
    """Write an encrypted file that has `names` with empty values; .sops.yaml and a key first, where there is none.

    Returns the key that it is for.
    """
    key = await ensure_key(root)
    rules = root / RULES
    if not rules.exists():
        folder = Path(name).parent
        pattern = f"^{re.escape(str(folder))}/" if folder != Path() else f"^{re.escape(name)}$"
        text = yaml.safe_dump(
            {"creation_rules": [{"path_regex": pattern, "age": key.recipient}]}, sort_keys=False, width=200
        )
        rules.write_text(f"# Read by sops: who can open the files below secrets. docs/secrets.md\n{text}")
    kind = KINDS[Path(name).suffix]
    argv = [sops(), "encrypt", "--filename-override", name, "--input-type", kind, "--output-type", kind]
    result = await run_command(argv, timeout=SECONDS, cwd=root, env=QUIET, stdin=_template(names, kind))
    result.check(f"sops can't make {name}", remedy=f"See {RULES}: one of its rules has to match {name}.")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(result.stdout)
    return key


def _template(names: Collection[str], kind: str) -> bytes:
    chosen = sorted(names) or ["EXAMPLE"]
    if kind == "dotenv":
        return "".join(f"{name}=\n" for name in chosen).encode()
    if kind == "json":
        return ("{" + ", ".join(f'"{name}": ""' for name in chosen) + "}").encode()
    return "".join(f'{name}: ""\n' for name in chosen).encode()


async def edit(root: Path, name: str) -> bool:
    """Open the person's editor on the decrypted file, for as long as they need; whether they changed anything."""
    with _interrupts_are_the_editors():
        process = await asyncio.create_subprocess_exec(sops(), "edit", name, cwd=root, env=_environment())
        code = await process.wait()
    if code not in (0, UNCHANGED):
        raise CommandError(
            f"`sops edit {name}` failed with exit code {code}",
            where="this machine",
            remedy="What it said is above. The editor is SOPS_EDITOR or EDITOR.",
        )
    return code == 0


async def rotate(root: Path, names: Sequence[str], old: str | None) -> Rotated:
    """Encrypt `names`, and what lies beside them for the same key, for a new key in place of `old`.

    `old` is the public half; by default the one key of this person in .sops.yaml.

    All or nothing: when one fails, every file is put back as it was. Raises ConfigError, CommandError.
    """
    rules = root / RULES
    if not rules.is_file():
        raise ConfigError("there is none, so there is no key to replace", where=RULES, remedy="invoke secrets edit")
    text = rules.read_text()
    old = old or _own(text)
    if old not in text:
        raise ConfigError(f"{old} isn't one of its recipients", where=RULES)
    for name in names:
        if not (root / name).is_file():
            raise ConfigError("there is no such file", where=name, remedy="Without --file, all are taken.")
    names = beside(root, names, old)
    paths = [root / name for name in names]
    before = {path: path.read_bytes() for path in (rules, *paths)}
    file = key_file()
    await _kept_out_of_git(file)
    new = new_key(file, f"for {root.name}, in place of {old}")
    try:
        rules.write_text(text.replace(old, new))
        for path in paths:
            for argv in (["updatekeys", "--yes", str(path)], ["rotate", "--in-place", str(path)]):
                result = await run_command([sops(), *argv], timeout=SECONDS, cwd=root, env=QUIET)
                result.check(f"sops can't give {path.relative_to(root)} its new key")
            if old in (now := path.read_text()) or new not in now:
                raise CommandError(f"{path.relative_to(root)} still is for the old key", where="this machine")
    except BaseException:
        for path, content in before.items():
            path.write_bytes(content)
        raise
    return Rotated(old, new, file, tuple(names))


async def _kept_out_of_git(file: Path) -> None:
    if await taken_by_git(file):
        raise ConfigError(
            "git would commit this private key",
            where=str(file),
            remedy=f"Name it in .gitignore, or {ELSEWHERE}",
        )


def _own(rules: str) -> str:
    own = _among(recipients(), rules)
    if len(own) != 1:
        raise ConfigError(
            f"{len(own) or 'none'} of your keys {'are' if len(own) > 1 else 'is'} among its recipients",
            where=RULES,
            remedy=f"Name one: --old {own[0]}" if own else "Set SOPS_AGE_KEY_FILE to the file that has your key.",
        )
    return own[0]


def _among(known: Sequence[str], rules: str) -> list[str]:
    return [recipient for recipient in known if recipient in rules]


def beside(root: Path, names: Collection[str], recipient: str) -> list[str]:
    """`names`, and what lies beside them for the same recipient."""
    found = set(names)
    for folder in {(root / name).parent for name in names}:
        for path in folder.iterdir():
            if path.suffix in KINDS and path.name != RULES and recipient in path.read_text(errors="replace"):
                found.add(str(path.relative_to(root)))
    return sorted(found)


def sops() -> str:
    """The program. Raises ConfigError that says how to get it."""
    try:
        return find("sops", INSTALL)
    except UnreachableSourceError as error:
        raise ConfigError(str(error), where="this machine", remedy=INSTALL) from None


def _environment() -> dict[str, str]:
    return {**os.environ, **QUIET}


@contextmanager
def _interrupts_are_the_editors() -> Iterator[None]:
    """Ctrl-C goes to everybody at the terminal. Editors take it as their own; SOPS, which inherits that it is ignored,
    would end and leave the plain text behind that the editor has open."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
