"""`invoke host-bootstrap`: look at each machine as root, show what it lacks, do that, then start the proxy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from portside.agents import outdated, refresh
from portside.bootstrap import STEP_SECONDS, Facts, Step, Wish, needed, parse_facts
from portside.cli import Terminal, project, run
from portside.command import run_command, tail
from portside.compose import read_compose
from portside.config import Config, Environment
from portside.delivery import Delivery
from portside.engine import debian_mirror, ensure_engine
from portside.errors import CommandError, ConfigError, HostError, PreflightError
from portside.facts import State
from portside.fleet import connected, everywhere, read_states
from portside.host.base import Host
from portside.host.script import root_argv
from portside.journal import Operation
from portside.lock import Claim, locked
from portside.making import Draft, read_proxy
from portside.operators import operator
from portside.plan import Plan, make_plan
from portside.recovery import left_behind
from portside.release import Image, Release
from portside.report import Reporter, timed
from portside.site import Site, operation_id
from portside.surroundings import Surroundings

HERE = "localhost"
# What a plan calls the things that a bootstrap changes and a release doesn't.
PROXY_CHANGES = ("proxy", "proxy route")
AGENT = "agent"
RESTARTED = "restart the proxy with its new settings: open connections drop for a moment"


@dataclass(frozen=True)
class Machine:
    """One host while it is being made one. `name` is its destination, `host` the connection of an administrator."""

    name: str
    host: Host
    sudo: bool
    wish: Wish
    facts: Facts


def bootstrap_command(
    env: str,
    *,
    host: str | None,
    user: str,
    key: str | None,
    firewall: bool,
    dry_run: bool,
    yes: bool,
    machine: bool,
) -> None:
    async def act(terminal: Terminal) -> None:
        config = project(env)
        environment = config.environment(env)
        async with _machines(environment, host, user, key, firewall=firewall, say=terminal.reporter.say) as machines:
            plans = {each.name: list(needed(each.facts, each.wish, each.name)) for each in machines}
            if environment.local:
                plans = {HERE: []}
            await _add_proxy(plans, config, environment)
            if not any(plans.values()):
                data = {"env": env, "outcome": "unchanged", "hosts": {name: [] for name in plans}}
                terminal.result(data, f"Nothing to do: {', '.join(plans)} {_are(plans)} as it would be.")
                return
            if dry_run:
                terminal.result({"env": env, "outcome": "dry-run", "hosts": _data(plans)}, _text(plans))
                return
            terminal.reporter.say(_text(plans))
            if not terminal.agreed(f"Do this on {', '.join(plans)}?", environment, yes=yes):
                terminal.result({"env": env, "outcome": "declined"}, "Nothing was changed.")
                return
            await everywhere(machines, lambda each: _do(each, plans[each.name], terminal.reporter, environment))
        await _ensure_proxy(config, environment, [name for name, plan in plans.items() if plan], terminal.reporter)
        terminal.result(
            {"env": env, "outcome": "changed", "hosts": _data(plans)},
            f"✓ {', '.join(plans)}: ready\n→ invoke deploy --env {env}",
        )

    run(act, machine=machine)


def chosen(environment: Environment, only: str | None) -> list[str]:
    """The destinations to make hosts of. Raises ConfigError."""
    found = [name for name in environment.hosts if only in (None, name, name.rpartition("@")[2])]
    if not found:
        raise ConfigError(
            f"no host {only!r} in {environment.name}",
            where="--host",
            remedy=f"It has: {', '.join(environment.hosts)}.",
        )
    return found


async def public_key(path: Path | None) -> str:
    """The public key that may log in: the file's, else the SSH agent's first, else the first of ~/.ssh/*.pub.

    Raises ConfigError when there is none, or when the file holds something else.
    """
    import asyncssh  # noqa: PLC0415 - only loaded where SSH is used

    where, text = str(path or "--key"), ""
    if path is not None:
        try:
            text = path.expanduser().read_text()  # noqa: ASYNC240 - one small local file
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("the public key can't be read", where=where, why=str(error)) from None
        if "PRIVATE KEY" in text:
            raise ConfigError("this is a private key", where=where, remedy=f"Give its public half: --key {path}.pub")
    else:
        with contextlib.suppress(CommandError):
            listed = await run_command(["ssh-add", "-L"], timeout=10)
            text = listed.text if listed.exit_code == 0 else ""
        for file in sorted(Path("~/.ssh").expanduser().glob("*.pub")) if not text else ():  # noqa: ASYNC240
            text = file.read_text()
            break
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not line:
        raise ConfigError(
            "there is no public key to let in",
            where=where,
            remedy="Name one with --key, or make one: ssh-keygen -t ed25519",
        )
    try:
        asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ConfigError("this is not a public SSH key", where=where, why=str(error)) from None
    return line


@contextlib.asynccontextmanager
async def _machines(
    environment: Environment,
    only: str | None,
    user: str,
    key: str | None,
    *,
    firewall: bool,
    say: Callable[[str], None],
) -> AsyncIterator[list[Machine]]:
    """The machines, connected as `user` and looked at. This machine isn't one: of it, only the proxy is set up."""
    if environment.local:
        await ensure_engine(say)
        yield []
        return
    from portside.host.ssh import login_name  # noqa: PLC0415 - asyncssh is only loaded where SSH is used

    names = chosen(environment, only)
    public = await public_key(Path(key) if key else None)
    administrators = {f"{user}@{name.rpartition('@')[2]}": name for name in names}
    wishes = {
        name: Wish(
            user=login_name(name, environment.ssh_config),
            key=public,
            ports=_ports(environment) if firewall else None,
            mirror=debian_mirror(os.environ),
        )
        for name in names
    }
    async with connected(environment, list(administrators)) as hosts:

        async def look(host: Host) -> Machine:
            name = administrators[host.name]
            return await _look(name, host, wishes[name])

        yield await everywhere(hosts, look)


def _ports(environment: Environment) -> tuple[int, ...]:
    listen = (environment.http, environment.https)
    return tuple(sorted({80, 443, *(int(each.rpartition(":")[2]) for each in listen if each)}))


async def _look(name: str, host: Host, wish: Wish) -> Machine:
    uid = (await host.run(["id", "-u"], timeout=STEP_SECONDS)).check().text
    root = uid == "0"
    sudo = not root and (await host.run(["sudo", "-n", "true"], timeout=STEP_SECONDS)).exit_code == 0
    looked = await host.run(root_argv("bootstrap", "look", wish.user, wish.key_blob, sudo=sudo), timeout=STEP_SECONDS)
    facts = parse_facts(looked.check("the machine can't be looked at").text, name)
    # client address, client port, server address, server port: what this connection uses must stay open.
    connection = (await host.run(["printenv", "SSH_CONNECTION"], timeout=STEP_SECONDS)).text.split()
    ports = {int(connection[3])} if len(connection) == 4 else set[int]()
    facts = replace(facts, ssh_ports=facts.ssh_ports | ports)
    if not root and not sudo:
        facts = _unprivileged(facts, wish, host.name)
    return Machine(name, host, sudo, wish, facts)


def _unprivileged(facts: Facts, wish: Wish, where: str) -> Facts:
    """Whoever isn't root can still apply the proxy's settings on a host that lacks nothing else."""
    facts = replace(facts, key=True)
    missing = needed(facts, wish, where)
    if missing:
        raise HostError(
            "this user may not become root without a password, which is needed",
            where=where,
            why="\n".join(f"{step.name}: {step.what}" for step in missing),
            remedy="Allow it sudo with NOPASSWD, or name another user: --user root",
        )
    return facts


async def _do(machine: Machine, plan: Sequence[Step], reporter: Reporter, environment: Environment) -> None:
    for step in plan:
        if step.name in (*PROXY_CHANGES, AGENT):
            continue
        with timed(reporter, machine.name, step.name):
            await _run(machine, step)
            if step.name == "firewall":
                await _keep_firewall(machine, environment)


async def _run(machine: Machine, step: Step) -> None:
    argv = root_argv("bootstrap", step.name, *step.arguments, sudo=machine.sudo)
    result = await machine.host.run(argv, timeout=step.timeout)
    if result.exit_code != 0:
        *output, last = tail(result.stderr or result.stdout).splitlines() or [f"exit code {result.exit_code}"]
        raise HostError(
            f"could not {step.what}: {last}",
            where=f"{machine.name}, {step.name}",
            why="\n".join(output),
            remedy="What was done before this stays. Mend the cause and type the same again.",
        )


async def _keep_firewall(machine: Machine, environment: Environment) -> None:
    """Only a connection made under the new rules shows that they lock nobody out."""
    async with connected(environment, [machine.host.name]) as (again,):
        await _run(replace(machine, host=again), Step("firewall_keep", "keep the firewall's rules"))


async def _add_proxy(plans: dict[str, list[Step]], config: Config, environment: Environment) -> None:
    """Add what the proxy needs: exactly where a host can already be asked, as a promise where it can't."""
    finished = [name for name, steps in plans.items() if not steps]
    plan, stale = None, set[str]()
    if finished:
        async with connected(environment, finished) as hosts:
            states = await read_states(hosts, config.site(environment), full=False)
            plan = proxy_plan(config, environment, hosts, states)
            site = Site(config, environment, list(hosts), {}, states, _Silent())
            stale = await outdated(site)
    for name, steps in plans.items():
        if plan is None or name not in finished:
            steps.append(Step("proxy", "start the proxy, unless it runs as it should"))
            if "observe" in config.model_fields_set:
                steps.append(Step(AGENT, "start the agent that watches it, unless it runs as it should"))
            continue
        if name in stale:
            steps.append(Step(AGENT, "give it the agent that watches it, as it is now"))
        for change in plan.hosts[name]:
            if change.what in PROXY_CHANGES:
                steps.append(Step(change.what, _proxy_words(change.what, change.before, change.after)))


def _proxy_words(what: str, before: str, after: str) -> str:
    if what == "proxy route":
        return "give the proxy its new route, which closes idle keep-alive connections"
    return RESTARTED if before not in ("none", "stopped") else "start the proxy"


def proxy_plan(config: Config, environment: Environment, hosts: Sequence[Host], states: Mapping[str, State]) -> Plan:
    """How the proxies of hosts differ from what this tree says; of its changes only PROXY_CHANGES mean anything."""
    site = Site(config, environment, list(hosts), {}, dict(states), _Silent())
    return make_plan(_surroundings(config, environment).desired(placeholder(config, environment), site), states)


async def _ensure_proxy(config: Config, environment: Environment, names: Sequence[str], reporter: Reporter) -> None:
    """Start the proxy or give it its new settings, as the deploy user, under the hosts' release lock."""
    claim = Claim(environment.name, operator(), "host-bootstrap", environment.lock_ttl)
    async with connected(environment, names) as hosts:
        await everywhere(hosts, _may_use_docker)
        async with locked(hosts, config.site(environment), claim, full=False) as leases:
            states = {name: lease.state for name, lease in leases.items() if lease.state is not None}
            if left_behind(states):
                raise PreflightError(
                    "an earlier operation is unfinished, so the proxy was left alone",
                    where=environment.name,
                    remedy=f"invoke status --env {environment.name} ends it; then type this again.",
                )
            site = Site(config, environment, hosts, leases, states, reporter)
            operation = Operation(id=operation_id(), kind="maintenance", owner=operator())
            targets = [site.target(host.name, operation) for host in hosts]
            delivery = Delivery(config, environment, reporter, hosts)
            await _surroundings(config, environment).ensure(
                site, targets, placeholder(config, environment), delivery, apply=True
            )
            for note in await refresh(site, targets, apply=True):
                reporter.say(note)


async def _may_use_docker(host: Host) -> None:
    result = await host.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=STEP_SECONDS)
    result.check("the deploy user can't use Docker", remedy="Look at `docker version` there as this user.")


def _surroundings(config: Config, environment: Environment) -> Surroundings:
    """The proxy alone: a bootstrap never touches a database."""
    return Surroundings(config, environment, read_proxy(config, environment), None)


def placeholder(config: Config, environment: Environment) -> Release:
    """A release with this tree's Compose file and nothing else: what the proxy needs to know of one."""
    data = read_compose(config.root / config.service.compose)
    draft = Draft(config, environment, data, {}, Image(reference="none"), "", operator())
    return draft.release(previous=None, created=datetime.now(UTC))


def _text(plans: Mapping[str, Sequence[Step]]) -> str:
    lines = []
    for name, steps in plans.items():
        lines += [f"{name}:", *(f"  {step.name}: {step.what}" for step in steps)] if steps else [f"{name}: no change"]
    return "\n".join(lines)


def _data(plans: Mapping[str, Sequence[Step]]) -> dict[str, list[dict[str, str]]]:
    return {name: [{"step": step.name, "what": step.what} for step in steps] for name, steps in plans.items()}


def _are(plans: Mapping[str, object]) -> str:
    return "is" if len(plans) == 1 else "are"


class _Silent:
    """Nobody is told of a look that changes nothing."""

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...
