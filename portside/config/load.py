"""From the file to the models. Every error names the file, the key, the value and what to do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from portside.config.base import FILE
from portside.config.environment import Environment
from portside.config.whole import Config
from portside.errors import ConfigError

# Environments that a command made for itself (`invoke lab-up`, `invoke demo`) are kept beside the cache.
GENERATED = Path(".portside/environments")
GONE = "A command made that file; `invoke lab-down` and `invoke demo --down` remove theirs."


def project_root(folder: Path) -> Path:
    """`folder`, if it is a project's, whatever its portside.toml says. Raises ConfigError."""
    if not (folder / FILE).is_file():
        raise ConfigError(
            "not found", where=str(folder / FILE), remedy="Run invoke in the folder that holds portside.toml."
        )
    return folder


def load_config(root: Path, planned: Mapping[str, Mapping[str, object]] | None = None) -> Config:
    """Read portside.toml in `root`, and the environments that commands generated beside it.

    `planned` are environments as if portside.toml had them, which has no other way to say None.
    """
    data = _read(project_root(root) / FILE)
    if "root" in data:
        raise ConfigError("no such key", where=f"{FILE}: root", remedy="All keys: docs/configuration.md")
    defaults = _table(data, "defaults", root / FILE)
    data.pop("defaults", None)
    environments = dict(_table(data, "env", root / FILE))
    files: dict[str, str] = {}
    for generated in sorted((root / GENERATED).glob("*.toml")):
        found = _table(_read(generated), "env", generated)
        environments |= found
        files |= dict.fromkeys(found, str(GENERATED / generated.name))
    for name, table in (planned or {}).items():
        environments[name] = dict(table)
        files.pop(name, None)
    data["env"] = {name: _resolved(name, environments, defaults, files.get(name, FILE)) for name in environments}
    try:
        config = Config.model_validate({"root": root, **data})
    except ValidationError as error:
        raise _explained(error, files) from None
    chosen = {f"observe.receivers.{name}": receiver.envs for name, receiver in config.observe.receivers.items()}
    chosen |= {f"notify.{name}": notifier.envs for name, notifier in config.notify.items()}
    for where, envs in chosen.items():
        for env in set(envs) - set(config.env):
            raise ConfigError(
                f"there is no environment {env!r}",
                where=f"{FILE}: {where}.envs",
                remedy=f"Use some of: {', '.join(sorted(config.env))}.",
            )
    for name, environment in config.env.items():
        file = files.get(name, FILE)
        lacking = "[signing]" if config.signing is None else "a registry" if environment.registry == "none" else ""
        if environment.require_signature and lacking:
            raise ConfigError(
                f"it needs {lacking}",
                where=f"{file}: env.{name}.require_signature",
                remedy=_remedy(file, "Signatures lie in a registry, beside the image: docs/signing.md"),
            )
        if environment.swarm:
            _refuse_swarm(environment, file)
    return config


def _remedy(file: str, remedy: str) -> str:
    """What to do about an environment that is in `file`: `remedy` is for those that people wrote."""
    return remedy if file == FILE else GONE


def _refuse_swarm(environment: Environment, file: str) -> None:
    """What a Swarm can't do without, or can't have. Raises ConfigError."""
    where = f"{file}: env.{environment.name}"
    if environment.local:
        raise ConfigError(
            "a Swarm needs hosts",
            where=f"{where}.hosts",
            remedy=_remedy(file, "Name its nodes, managers among them: docs/scaling.md"),
        )
    if environment.registry == "none":
        raise ConfigError(
            "a Swarm needs a registry",
            where=f"{where}.registry",
            why="A node that is given a container later has to come by its image by itself, and by its digest.",
            remedy=_remedy(file, "Name a repository that every node can pull from: docs/scaling.md"),
        )
    if len(environment.accessory_hosts or ()) > 1:
        raise ConfigError(
            "accessories on more than one host can't be told apart in a Swarm",
            where=f"{where}.accessory_hosts",
            why="All nodes share one network, on which each name means one thing.",
            remedy=_remedy(file, "Name one host, or [] for a managed database."),
        )


def _resolved(name: str, environments: dict[str, Any], defaults: dict[str, Any], file: str) -> Any:
    """One environment, which is in `file`, over the one it extends, over the defaults.

    What a command generated is whole: nothing that `[defaults]` may say one day makes it wrong.
    """
    table = environments[name]
    if not isinstance(table, dict):
        return table
    table = dict(table)
    parent = table.pop("extends", None)
    if parent is None:
        return _merged(defaults if file == FILE else {}, table) | {"name": name}
    parent_table = environments.get(parent) if isinstance(parent, str) else None
    if not isinstance(parent_table, dict) or "extends" in parent_table:
        raise ConfigError(
            f"{parent!r} can't be extended",
            where=f"{file}: env.{name}.extends",
            remedy=_remedy(file, "Name an environment of this file that doesn't extend another itself."),
        )
    return _merged(_merged(defaults, parent_table), table) | {"name": name}


def _merged(defaults: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """An environment over the defaults: tables are merged one level deep, everything else is replaced."""
    merged = dict(defaults)
    for key, value in table.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | value
        else:
            merged[key] = value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    # Besides errors of TOML and UTF-8, a number with thousands of digits; then arrays in arrays in arrays.
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError("not readable as TOML", where=str(path), why=str(error)) from None
    if key := _with_null(data):
        raise ConfigError(
            "it has a NUL character in it",
            where=f"{path}: {key}",
            remedy="No argument, file name or environment variable can hold one.",
        )
    return data


def _with_null(value: Any) -> str:
    """The dotted key of the first text with a NUL character; "" where there is none."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if "\0" in str(key) or (isinstance(inner, str) and "\0" in inner):
            return str(key).replace("\0", "\\0")
        if found := _with_null(inner):
            return f"{key}.{found}"
    return ""


def _table(data: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key} must be a table", where=str(path), remedy=f"Write [{key}] and its keys below it.")
    return table


def _explained(error: ValidationError, files: dict[str, str]) -> ConfigError:
    """What is wrong, and in which file: `files` has those of environments that aren't in portside.toml."""
    lines = []
    wrong = set()
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        env = str(problem["loc"][1]) if problem["loc"][0] == "env" and problem["loc"][1:] else ""
        wrong.add(files.get(env, FILE))
        value = problem["input"]
        # env.<environment>.env and .secrets, and a receiver's, may hold what nobody should read in a CI log.
        private = (
            len(problem["loc"]) > 2
            and (problem["loc"][2] in ("env", "secrets") or problem["loc"][-1] in ("secret", "signing_secret"))
        ) or problem["loc"][0] == "signing"
        shown = "" if isinstance(value, dict) or private else f" (it is {value!r})"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            # Of a key that nobody knows nobody knows whether its value may be read, either.
            message, shown = "no such key", ""
        lines.append(f"{key}: {message}{shown}")
    return ConfigError(
        "a setting is wrong" if len(lines) == 1 else f"{len(lines)} settings are wrong",
        where=", ".join(sorted(wrong)),
        why="\n".join(lines),
        remedy="All keys with their types and defaults: docs/configuration.md" if FILE in wrong else GONE,
    )
