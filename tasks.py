"""What a person types: `invoke --list`, and `invoke --help TASK` for one. Each task calls one function of portside."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

# Loading compiled code takes a third of the time of compiling it: where the environment forbids it beside the
# sources, it is kept with Portside's other caches.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(__file__).parent / ".portside/cache/python")

# Imports leave hardly any garbage: looking for it meanwhile is a tenth of a quick command. `cli.run` begins again.
gc.disable()

# Numbers come in as they were typed: what Invoke itself can't convert, it answers with a traceback.
ENV = {"env": "the environment of portside.toml (default: local)"}
PROD = {"env": "the environment of portside.toml (default: prod)"}
JSON = {"json": "one JSON object on standard output, progress on standard error"}
ONLY = {"host": "only this host of the environment"}
HOST = {"host": f"{ONLY['host']}; the lock is taken on all"}
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


@task(help={**ENV, **HOST, **DRY_RUN, **YES, **JSON})
def restart(
    _: Context,
    env: str = "local",
    host: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Start anew what serves: its image, this checkout's settings. Example: invoke restart --env prod"""
    from portside.releasing import restart_command

    restart_command(env, host=host, dry_run=dry_run, yes=yes, machine=json)


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


@task(help={**ENV, **JSON})
def status(_: Context, env: str = "local", json: bool = False) -> None:
    """What runs where; finishes or undoes what a dead deployer left. Example: invoke status --env prod"""
    from portside.status import status_command

    status_command(env, machine=json)


@task(help={**ENV, **JSON})
def history(_: Context, env: str = "local", json: bool = False) -> None:
    """Who released what and when, and what was undone why. Example: invoke history --env prod"""
    from portside.status import history_command

    history_command(env, machine=json)


@task(
    help={
        **ENV,
        **ONLY,
        "service": "only this service (default: all)",
        "follow": "go on until Ctrl-C, with the release that serves by then",
        "tail": "how many lines of each container first (default: 100, with --since all)",
        "since": "from then on: 10m, 2h, or a timestamp",
        "previous": "the release that served before",
    }
)
def logs(
    _: Context,
    env: str = "local",
    host: str | None = None,
    service: str | None = None,
    follow: bool = False,
    tail: str | None = None,
    since: str | None = None,
    previous: bool = False,
) -> None:
    """The release's logs, from all hosts. Example: invoke logs --env prod --follow --service web"""
    from portside.containers import logs_command

    logs_command(env, host=host, service=service, follow=follow, tail=tail, since=since, previous=previous)


@task(
    name="exec",
    help={
        "command": "it has an hour and no standard input; what it says is shown when it has ended",
        **ENV,
        "host": "which host (default: the first)",
        "service": "in which service (default: the web one)",
    },
)
def exec_(_: Context, command: str, env: str = "local", host: str | None = None, service: str | None = None) -> None:
    """Run a command in the release; its exit code is ours. Example: invoke exec "python -m app.migrate" --env prod"""
    from portside.containers import exec_command

    exec_command(env, command=command, host=host, service=service)


@task(help={**ENV, "message": "shown to whoever is kept out", "minutes": "it ends by itself after that", **JSON})
def lock(_: Context, env: str = "local", message: str = "", minutes: str = "60", json: bool = False) -> None:
    """Keep everybody from releasing, you included. Example: invoke lock --env prod --message "database upgrade" """
    from portside.guarding import lock_command

    lock_command(env, message=message, minutes=minutes, machine=json)


@task(help={**ENV, **JSON})
def unlock(_: Context, env: str = "local", json: bool = False) -> None:
    """Break the release lock, whoever holds it. Example: invoke unlock --env prod"""
    from portside.guarding import unlock_command

    unlock_command(env, machine=json)


@task(help={**ENV, "on": "answer every request with 503 and a page", "off": "serve again", **HOST, **JSON})
def maintenance(
    _: Context, env: str = "local", on: bool = False, off: bool = False, host: str | None = None, json: bool = False
) -> None:
    """Show a maintenance page instead of the service. Example: invoke maintenance --on --env prod"""
    from portside.guarding import maintenance_command

    maintenance_command(env, on=on, off=off, host=host, machine=json)


@task(help={**ENV, **JSON})
def accessories(_: Context, env: str = "local", json: bool = False) -> None:
    """Bring databases and the like to what compose/accessories.yaml says. Example: invoke accessories --env staging"""
    from portside.guarding import accessories_command

    accessories_command(env, machine=json)


@task(
    help={
        **ENV,
        **HOST,
        "name": "the name that the service had, where portside.toml has another one by now",
        "volumes": "the accessories' volumes as well: their data is lost",
        **DRY_RUN,
        "yes": "don't ask",
        **JSON,
    }
)
def remove(
    _: Context,
    env: str = "local",
    host: str | None = None,
    name: str | None = None,
    volumes: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Take the service off its hosts, releases and all. Example: invoke remove --env staging"""
    from portside.removing import remove_command

    remove_command(env, host=host, name=name, volumes=volumes, dry_run=dry_run, yes=yes, machine=json)


@task(help=JSON)
def build(_: Context, json: bool = False) -> None:
    """Build the service's image on this machine. Example: invoke build"""
    from portside.releasing import build_command

    build_command(machine=json)


@task(help={**PROD, **IMAGE, **JSON})
def push(_: Context, env: str = "prod", image: str | None = None, json: bool = False) -> None:
    """Push the image to the environment's registry; prints its digest. Example: invoke push --env prod"""
    from portside.releasing import push_command

    push_command(env, image=image, machine=json)


@task(
    help={
        **ENV,
        "image": "scan this image instead of the one that would be built",
        "running": "scan what runs on the environment's hosts",
        "db": "a copy of Trivy's database: its folder, or db.tar.gz; nothing is fetched then",
        **JSON,
    }
)
def scan(
    _: Context,
    env: str = "local",
    image: str | None = None,
    running: bool = False,
    db: str | None = None,
    json: bool = False,
) -> None:
    """What is wrong with the image; exit code 11 when it may not go out. Example: invoke scan --running --env prod"""
    from portside.scanning import scan_command

    scan_command(env, image=image, running=running, db=db, machine=json)


@task(
    name="host-bootstrap",
    help={
        **PROD,
        **ONLY,
        "user": "who to log in as: root, or somebody with sudo",
        "key": "the public key to let in (default: the SSH agent's first, else the first of ~/.ssh/*.pub)",
        "person": "the key is a person's: besides releases it may have terminals and tunnels",
        "firewall": "close every port but SSH's, 80 and 443",
        **DRY_RUN,
        **YES,
        **JSON,
    },
)
def host_bootstrap(
    _: Context,
    env: str = "prod",
    host: str | None = None,
    user: str = "root",
    key: str | None = None,
    person: bool = False,
    firewall: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Make fresh Debian or Ubuntu machines hosts; apply proxy settings. Example: invoke host-bootstrap --env prod"""
    from portside.bootstrapping import bootstrap_command
    from portside.machines import Asked

    asked = Asked(host=host, user=user, key=key, person=person, firewall=firewall)
    bootstrap_command(env, asked, dry_run=dry_run, yes=yes, machine=json)


@task(
    help={
        "env": "the stack of this environment, where it has one of its own",
        "down": "stop it; what it has gathered is kept",
        "volumes": "with --down: remove that as well, with its passwords and certificates",
        "status": "each component, targets down, rules failing, alerts, log lag",
        "open": "open Grafana in a browser, where there is a desktop (--no-open: don't)",
        **JSON,
    }
)
def observe(
    _: Context,
    env: str | None = None,
    down: bool = False,
    volumes: bool = False,
    status: bool = False,
    open: bool = True,
    json: bool = False,
) -> None:
    """The monitoring stack up, or down, or how it is. Example: invoke observe --status"""
    from portside.observing import observe_command

    observe_command(env, down=down, volumes=volumes, status=status, browser=open, machine=json)


@task(name="notify-test", help={**PROD, **JSON})
def notify_test(_: Context, env: str = "prod", json: bool = False) -> None:
    """Send a test message to whoever is told of releases. Example: invoke notify-test --env prod"""
    from portside.notifying import notify_test_command

    notify_test_command(env, machine=json)


@task(help={**ENV, **JSON})
def doctor(_: Context, env: str = "local", json: bool = False) -> None:
    """What is wrong with this set-up, and how to mend it. Example: invoke doctor --env prod"""
    from portside.doctor import doctor_command

    doctor_command(env, machine=json)


@task(help={"port": "where it listens, on 127.0.0.1"})
def dev(_: Context, port: str = "8000") -> None:
    """The service on this machine, reloaded when a file changes, on SQLite. Example: invoke dev"""
    from portside.dev import dev_command

    dev_command(port)


@task(help={"down": "remove everything that the demo made", **JSON})
def demo(_: Context, down: bool = False, json: bool = False) -> None:
    """A host in a container, three releases under load, one of them undone. Example: invoke demo"""
    from portside.demo.command import demo_command

    demo_command(down=down, machine=json)


@task(name="lab-up", help={"hosts": "how many", **JSON})
def lab_up(_: Context, hosts: str = "3", json: bool = False) -> None:
    """Hosts in containers to practise on, as the environment `lab`. Example: invoke lab-up --hosts 3"""
    from portside.playground import lab_up_command

    lab_up_command(hosts=hosts, machine=json)


@task(name="lab-down", help=JSON)
def lab_down(_: Context, json: bool = False) -> None:
    """Remove the hosts of `lab-up` with all that is on them. Example: invoke lab-down"""
    from portside.playground import lab_down_command

    lab_down_command(machine=json)


@task(
    help={
        "rounds": "how often each pair is measured",
        "only": "releases (against bare Compose), serving (bare Uvicorn), judge and scale (simulated), "
        "paging (20 minutes)",
        **JSON,
    }
)
def bench(_: Context, rounds: str = "5", only: str | None = None, json: bool = False) -> None:
    """Portside against what it replaces, as ratios. Example: invoke bench --only serving"""
    from bench.command import bench_command

    bench_command(rounds=rounds, only=only, machine=json)


@task(
    help={
        "action": "list, get, edit, key or rotate-key",
        **ENV,
        "name": "get: which one",
        "yes": "get: print it even in CI, whose logs are kept",
        "file": "edit: this SOPS file instead of the environment's own; rotate-key: only it and those beside it; "
        "key: the file that the key is in, or is made in (default: yours)",
        "old": "rotate-key: the public key to replace (default: the only one of yours in .sops.yaml)",
        **JSON,
    }
)
def secrets(
    _: Context,
    action: str,
    env: str = "local",
    name: str | None = None,
    yes: bool = False,
    file: str | None = None,
    old: str | None = None,
    json: bool = False,
) -> None:
    """Where secret values come from: list, get, edit, key, rotate-key. Example: invoke secrets list --env prod"""
    from portside.secret_commands import secrets_command

    secrets_command(action, env, name=name, yes=yes, file=file, old=old, machine=json)
