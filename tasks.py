"""What a person types: `invoke --list`, and `invoke --help TASK` for one. Each task calls one function of portside."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.tasks import task

ENV = {"env": "the environment of portside.toml (default: local)"}
JSON = {"json": "one JSON object on standard output, progress on standard error"}
HOST = {"host": "only this host of the environment; the lock is taken on all"}
YES = {"yes": "don't ask, where the environment says confirm = true"}
DRY_RUN = {"dry_run": "show what would change, change nothing"}
IMAGE = {"image": "release this image instead of building one"}


@task(help={**ENV, **IMAGE, **HOST, **DRY_RUN, **YES, "force": "release even when nothing would change", **JSON})
def deploy(
    _: Context,
    env: str = "local",
    image: str | None = None,
    host: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Build, ship and release. Example: invoke deploy --env prod --yes"""
    from portside.releasing import deploy_command

    deploy_command(env, image=image, host=host, dry_run=dry_run, yes=yes, force=force, machine=json)


@task(
    help={**ENV, "to": "the release to go back to (an id, or its beginning or end)", **HOST, **DRY_RUN, **YES, **JSON}
)
def rollback(
    _: Context,
    env: str = "local",
    to: str | None = None,
    host: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Back to the previous release, settings included. Example: invoke rollback --env prod"""
    from portside.releasing import rollback_command

    rollback_command(env, to=to, host=host, dry_run=dry_run, yes=yes, machine=json)


@task(help={**ENV, **IMAGE, **JSON})
def plan(_: Context, env: str = "local", image: str | None = None, json: bool = False) -> None:
    """What a deploy would change; exit code 2 when anything. Example: invoke plan --env prod"""
    from portside.releasing import plan_command

    plan_command(env, image=image, machine=json)
