"""The commands for secrets: what there is, one value, editing them, a key, another key."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from portside.cli import Terminal, project, run
from portside.config import FILE, Config, Environment
from portside.errors import ConfigError
from portside.secrets import fetch, refusal, sops_files
from portside.secrets.base import SecretError, UnreachableSourceError

FOUND = 1
_SOPS = re.compile(r"sops:([^#]+)#")


# What each action takes besides --env.
ACTIONS = {
    "list": {"json"},
    "get": {"name", "yes"},
    "edit": {"file"},
    "key": {"file", "json"},
    "rotate-key": {"file", "old", "json"},
}


def secrets_command(
    action: str, env: str, *, name: str | None, yes: bool, file: str | None, old: str | None, machine: bool
) -> None:
    """One of ACTIONS. An option that it doesn't take is refused: it would mean something that doesn't happen."""
    given = {"name": name, "yes": yes, "file": file, "old": old, "json": machine}
    foreign = sorted(option for option, value in given.items() if value and option not in ACTIONS.get(action, ()))
    if action not in ACTIONS:
        _refuse(f"there is no action {action!r}", f"Use one of: {', '.join(ACTIONS)}.", machine=machine)
    elif foreign:
        takers = [each for each in ACTIONS if foreign[0] in ACTIONS[each]]
        remedy = f"Leave it out; it belongs to {' and '.join(takers)}."
        _refuse(f"{action} takes no --{foreign[0]}", remedy, machine=machine)
    elif action == "list":
        list_command(env, machine=machine)
    elif action == "get":
        get_command(name, env, yes=yes)
    elif action == "edit":
        edit_command(env, file=file)
    elif action == "key":
        key_command(file=file, machine=machine)
    else:
        rotate_key_command(file=file, old=old, machine=machine)


def _refuse(what: str, remedy: str, *, machine: bool) -> None:
    async def act(_: Terminal) -> None:
        raise ConfigError(what, where="invoke secrets", remedy=remedy)

    run(act, machine=machine)


def list_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        config = project()
        environment = config.environment(env)
        answers = await fetch(environment.secrets.values(), config.root, env)
        rows = [
            {"name": name, "reference": reference, **state(answers[reference])}
            for name, reference in sorted(environment.secrets.items())
        ]
        bad = [row for row in rows if row["state"] != "there"]
        terminal.result({"env": env, "secrets": rows}, _listed(rows, env))
        return FOUND if bad else 0

    run(act, machine=machine)


def state(answer: str | SecretError) -> dict[str, str]:
    """Whether a value can be had, without the value."""
    if isinstance(answer, str):
        return {"state": "there", "why": ""}
    return {"state": "unreachable" if isinstance(answer, UnreachableSourceError) else "missing", "why": str(answer)}


def _listed(rows: list[dict[str, str]], env: str) -> str:
    if not rows:
        return f"{env} has no secrets: add them to [env.{env}.secrets], docs/secrets.md"
    width = max(len(row["name"]) for row in rows)
    lines = []
    for row in rows:
        lines.append(f"{'✓' if row['state'] == 'there' else '✗'} {row['name']:{width}}  {row['reference']}")
        if row["why"]:
            lines.append(f"  {row['state']}: {row['why']}")
    return "\n".join(lines)


def get_command(name: str | None, env: str, *, yes: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        environment = config.environment(env)
        if name not in environment.secrets:
            raise ConfigError(
                f"{env} has no secret {name!r}" if name else "which one?",
                where=f"{FILE}: env.{env}.secrets",
                remedy=f"Add --name. {env} has: {', '.join(sorted(environment.secrets)) or 'none'}.",
            )
        if os.environ.get("CI") and not yes:
            raise ConfigError(
                "what is printed in CI stays in its log",
                where="invoke secrets get",
                remedy="Add --yes where its output goes to a program or a file.",
            )
        reference = environment.secrets[name]
        answer = (await fetch([reference], config.root, env))[reference]
        if isinstance(answer, SecretError):
            raise refusal({name: answer}, f"{FILE}: env.{env}.secrets")
        end = "\n" if sys.stdout.isatty() else ""
        # Bytes: text would be scrubbed on its way.
        sys.stdout.buffer.write(f"{answer}{end}".encode())
        sys.stdout.buffer.flush()

    # Standard output is the value's alone: whoever takes it into a variable must not get an error's text.
    run(act, machine=True, failed=lambda _: None)


def edit_command(env: str, *, file: str | None) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        environment = config.environment(env)
        name = chosen_file(config.root, environment, file)
        said = []
        if not (config.root / name).exists():
            key = await sops_files.make(config.root, name, referred(environment, name))
            said.append(f"✓ {name} is made, and {sops_files.RULES} says who opens it: {key.recipient}")
            said.append(_about_the_key(config.root, key.file, new=key.new))
            terminal.reporter.say("\n".join(said))
        terminal.reporter.__exit__(None, None, None)
        try:
            changed = await sops_files.edit(config.root, name)
        finally:
            terminal.reporter.__enter__()
        if not referred(environment, name):
            terminal.reporter.say(f'→ {FILE}: secrets = {{ NAME = "sops:{name}#NAME" }}')
        text = f"✓ {name} is changed.\n→ invoke plan --env {env}" if changed else f"{name} is as it was."
        terminal.result({"file": name, "changed": changed}, text)

    run(act)


def key_command(*, file: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        key = await sops_files.ensure_key(config.root, file)
        text = (
            f"✓ {key.recipient}\n{_about_the_key(config.root, key.file, new=key.new)}\n"
            f"→ Somebody who opens the values adds it to {sops_files.RULES}, behind theirs and a comma, and types for "
            "each file: sops updatekeys FILE"
        )
        key_file = str(key.file) if key.file else None
        terminal.result({"public": key.recipient, "key_file": key_file, "new": key.new}, text)

    run(act, machine=machine)


def rotate_key_command(*, file: str | None, old: str | None, machine: bool) -> None:
    async def act(terminal: Terminal) -> None:
        config = project()
        names = [sops_files.relative(config.root, file)] if file else every_file(config)
        rotated = await sops_files.rotate(config.root, names, old)
        text = (
            f"✓ {len(rotated.files)} file{'s' if len(rotated.files) != 1 else ''} and {sops_files.RULES} are for "
            f"{rotated.new}, and no longer for {rotated.old}: {', '.join(rotated.files)}\n"
            f"{_about_the_key(config.root, rotated.key_file, new=True)}\n"
            "→ Commit them. Give CI the new key: SOPS_AGE_KEY. Who had the old key can still read old commits: if "
            "somebody got hold of it, change the values themselves."
        )
        data = {"old": rotated.old, "new": rotated.new, "files": rotated.files, "key_file": str(rotated.key_file)}
        terminal.result(data, text)

    run(act, machine=machine)


def chosen_file(root: Path, environment: Environment, file: str | None) -> str:
    """The file to edit: the one named, the only one the environment refers to, else secrets/ENV.yaml."""
    if file:
        return sops_files.relative(root, file)
    named = sorted({match[1] for text in environment.secrets.values() if (match := _SOPS.match(text))})
    if len(named) > 1:
        raise ConfigError(
            f"{environment.name} has secrets in {len(named)} files: {', '.join(named)}",
            where="--file",
            remedy=f"invoke secrets edit --env {environment.name} --file {named[0]}",
        )
    return sops_files.relative(root, named[0] if named else f"secrets/{environment.name}.yaml")


def referred(environment: Environment, file: str) -> set[str]:
    """The keys of `file` that the environment refers to."""
    return {text.partition("#")[2] for text in environment.secrets.values() if text.startswith(f"sops:{file}#")}


def every_file(config: Config) -> list[str]:
    """Each SOPS file that portside.toml names and that is there."""
    texts = [text for environment in config.env.values() for text in environment.secrets.values()]
    stacks = [config.observe, *(each.observe for each in config.env.values() if each.observe)]
    texts += [receiver.secret or "" for stack in stacks for receiver in stack.receivers.values()]
    texts += [text or "" for each in config.notify.values() for text in (each.secret, each.signing_secret)]
    if config.signing:
        texts += [text or "" for text in (config.signing.private_key, config.signing.password)]
    named = {sops_files.relative(config.root, match[1]) for text in texts if (match := _SOPS.match(text))}
    return sorted(name for name in named if (config.root / name).is_file())


def _about_the_key(root: Path, file: Path | None, *, new: bool) -> str:
    inside = file is not None and file.resolve().is_relative_to(root.resolve())
    where = file or "SOPS_AGE_KEY"
    lines = [f"  {'The new private key' if new else 'Your private key'} is in {where}. Keep a copy where you keep"]
    lines.append("  passwords: without it, and without another recipient, the values are gone.")
    warning = "It is inside this project, where git ignores it." if inside else "Never commit it."
    return "\n".join(lines) + f" {warning}"
