"""`invoke doctor`: look at everything a release depends on, and say of each thing that is wrong how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from portside.cli import Terminal, project, run
from portside.command import run_command, tail
from portside.config import FILE, Config, Environment
from portside.diagnosis import (
    PROXY_CONFIG,
    STATE_DAMAGED,
    Finding,
    busy,
    file_findings,
    fleet_findings,
    proxy_remedy,
    site_findings,
)
from portside.engine import (
    debian_mirror,
    engine_answers,
    installation_for,
    missing_tools,
    read_os_release,
    refuse_other_docker,
    refuse_other_engine,
)
from portside.errors import CommandError, ConfigError, PortsideError
from portside.facts import STATE_DEADLINE, State
from portside.fleet import reached, read_states
from portside.hardening.keys import ENGINE_SOCKET
from portside.hardening.look import examine
from portside.host.base import Host
from portside.host.script import script_argv
from portside.logins import login_findings, nobody_here
from portside.making import read_accessories, read_proxy
from portside.notify.tell import secrets_of
from portside.preflight import MINIMUM_COMPOSE, at_least, problems
from portside.proxies import PROXY_CHANGES, placeholder, proxy_plan
from portside.proxy_admin import ADMIN_SOCKET, ANEW, Admin
from portside.reach import reach_findings
from portside.recovery import left_behind
from portside.report import Reporter, timed
from portside.scan.policy import judge
from portside.secrets import resolve
from portside.surroundings import accessory_hosts

HERE = "this machine"
QUESTION_SECONDS = 30.0
FOUND = 1


@dataclass
class Examination:
    """What was looked at, what was found, and what couldn't be judged because somebody is at work.

    `accessories`: those that are to run where accessories do. `readable`: whether the project's files say what a host's
    proxy is to be; why they don't is a finding already.
    """

    findings: list[Finding] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    accessories: tuple[str, ...] = ()
    readable: bool = True


def doctor_command(env: str, *, machine: bool) -> None:
    async def act(terminal: Terminal) -> int:
        found = Examination()
        tools = asyncio.create_task(_tools())
        try:
            config = project()
        except ConfigError as error:
            found.findings = [Finding.of(error, FILE), *await tools]
            return _show(terminal, found, env)
        try:
            environment = config.environment(env)
            config = config.seen_from(env)
        except ConfigError:
            tools.cancel()
            raise
        found.findings = await tools
        await _project(config, environment, found)
        await _hosts(config, environment, found, terminal.reporter)
        return _show(terminal, found, env)

    run(act, machine=machine)


def _show(terminal: Terminal, found: Examination, env: str) -> int:
    data = {
        "env": env,
        "findings": [vars(finding) for finding in found.findings],
        "notes": found.notes,
        "hosts": sorted(found.states),
    }
    terminal.result(data, text_of(found, env))
    return FOUND if found.findings else 0


def text_of(found: Examination, env: str) -> str:
    """The findings for a person."""
    lines = []
    for finding in found.findings:
        lines.append(f"✗ {finding.where}: {finding.what}")
        lines.extend(f"  {line}" for line in finding.why.splitlines())
        lines.extend(f"{'→' if not index else ' '} {line}" for index, line in enumerate(finding.remedy.splitlines()))
    lines.extend(f"… {note}" for note in found.notes)
    count = len(found.findings)
    if count:
        lines.append(f"{count} finding{'s' if count > 1 else ''} in {env}.")
    else:
        hosts = f"{len(found.states)} host{'s' if len(found.states) != 1 else ''}"
        lines.append(f"✓ {env} is fine: tools, settings, secrets, Compose files and {hosts} were looked at.")
    return "\n".join(lines)


async def _tools() -> list[Finding]:
    """The programs that every command needs on this machine."""
    found = [finding for look in (_plugins, _engine) for finding in await _looked(look)]
    if shutil.which("git") is None:
        found.append(Finding(HERE, "git isn't installed", "sudo apt-get install git"))
    return found


async def _looked(look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except PortsideError as error:
        return [Finding.of(error, HERE)]


async def _plugins() -> list[Finding]:
    """Docker's programs; PortsideError where another Docker than the distribution's lacks some."""
    if missing := await missing_tools():
        plan = installation_for(read_os_release(), debian_mirror(os.environ))
        if plan:
            await refuse_other_docker()
        remedy = "Type:\n" + "\n".join(plan.commands()) if plan else "https://docs.docker.com/engine/install/"
        return [Finding(HERE, f"not installed: {', '.join(missing)}", remedy)]
    version = (await run_command(["docker", "compose", "version", "--short"], timeout=QUESTION_SECONDS)).text
    if not at_least(version, MINIMUM_COMPOSE):
        wanted = ".".join(map(str, MINIMUM_COMPOSE))
        return [Finding(HERE, f"Docker Compose is {version}; {wanted} is needed", "Update it.")]
    return []


async def _engine() -> list[Finding]:
    if shutil.which("docker") and not await engine_answers():
        await refuse_other_engine()
        return [Finding(HERE, "the Docker Engine doesn't answer", "sudo systemctl start docker")]
    return []


async def _project(config: Config, environment: Environment, examination: Examination) -> None:
    """The files of the project and the secrets of the environment."""
    found = examination.findings
    dockerfile = config.root / config.build.dockerfile
    if not dockerfile.is_file():
        found.append(Finding(str(dockerfile), "not found", f"Correct build.dockerfile in {FILE}."))
    try:
        release = placeholder(config, environment)
        found += await _compose(config, release.compose)
        read_proxy(config, environment)
    except PortsideError as error:
        found.append(Finding.of(error))
        examination.readable = False
    for reason in judge((), config.scan, datetime.now(UTC).date()).reasons:
        found.append(Finding(FILE, reason, "It fails every scan: renew it with a reason, or remove it."))
    for name, notifier in config.notify.items():
        if notifier.wants("test", environment.name):
            try:
                await secrets_of(config, name)
            except PortsideError as error:
                found.append(Finding.of(error))
    try:
        await resolve(environment, config.root)
        if accessories := await read_accessories(config, environment):
            examination.accessories = accessories.services
            found += reach_findings(environment, accessories.services)
    except PortsideError as error:
        found.append(Finding.of(error))


async def _compose(config: Config, compose: str) -> list[Finding]:
    """What Compose itself says of the file that a release would have."""
    if shutil.which("docker") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="portside-") as folder:
        file = Path(folder) / "compose.yaml"
        file.write_text(compose)
        (Path(folder) / "env").touch()
        argv = ["docker", "compose", "--project-name", "check", "--file", str(file), "--env-file", "/dev/null"]
        try:
            result = await run_command([*argv, "config", "--quiet"], timeout=QUESTION_SECONDS)
        except CommandError as error:
            return [Finding.of(error)]
        if result.exit_code == 0 or b"is not a docker command" in result.stderr:
            return []
        why = tail(result.stderr).replace(str(file), str(config.service.compose))
        return [Finding(str(config.service.compose), "Compose refuses it", "Correct the file.", why)]


async def _hosts(config: Config, environment: Environment, found: Examination, reporter: Reporter) -> None:
    async with reached(environment) as (hosts, failures):
        for name, failure in failures.items():
            if not isinstance(failure, PortsideError):
                raise failure
            found.findings.append(Finding.of(failure, name))
        examined = await asyncio.gather(*(_host(config, environment, host, found, reporter) for host in hosts))
        if environment.swarm and hosts:
            found.findings += await _swarm(config, environment, hosts)
        logins = await login_findings(environment, hosts, found.states)
    # Which of them an operation is unfinished at only shows when all are seen.
    left = left_behind(found.states)
    for host, findings in zip(hosts, examined, strict=True):
        found.findings += findings
        if (state := found.states.get(host.name)) is None:
            continue
        if busy(state) and state.holder:
            found.notes.append(f"{host.name}: {state.holder.owner} is at work: {state.holder.operation}")
            continue
        found.findings += site_findings(
            host.name,
            state,
            environment.name,
            keep_warm=environment.keep_warm,
            swarm=environment.swarm,
            accessories=found.accessories if host.name in accessory_hosts(environment, [host]) else (),
            unfinished=left is not None and host.name in left.operations,
        )
    found.findings += logins
    if note := await nobody_here(environment.registry):
        found.notes.append(note)
    if not any(map(busy, found.states.values())):
        found.findings += fleet_findings(found.states, environment.name)


async def _swarm(config: Config, environment: Environment, hosts: list[Host]) -> list[Finding]:
    """Are the hosts one Swarm, with a manager that can act?"""
    # Only a Swarm's environment loads it.
    from portside.swarm import ground, nodes  # noqa: PLC0415

    try:
        seen = await ground.look(hosts, config.site(environment))
    except PortsideError as error:
        return [Finding.of(error)]
    remedy = f"How a Swarm is set up: {nodes.PAGE}"
    return [Finding(environment.name, problem, remedy) for problem in nodes.problems(seen)]


async def _host(
    config: Config, environment: Environment, host: Host, found: Examination, reporter: Reporter
) -> list[Finding]:
    """One host. It being lost meanwhile is a finding too."""
    findings: list[Finding] = []
    env, site = environment.name, config.site(environment)
    try:
        with timed(reporter, host.name, "examine"):
            examined = await host.run(script_argv("examine", site), timeout=STATE_DEADLINE)
            findings += file_findings(host.name, examined.stdout.decode(errors="replace"), env)
            if environment.harden and not environment.local:
                weaknesses, unknown = await examine(host, environment)
                findings += weaknesses
                found.notes += unknown
            engine = await host.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=STATE_DEADLINE)
            if engine.exit_code != 0:
                why = tail(engine.stderr, 3)
                remedy = (
                    f"invoke deploy --env {env} starts it"
                    if environment.local
                    else f"invoke host-bootstrap --env {env}"
                )
                return [*findings, Finding(host.name, "Docker doesn't answer this user", remedy, why)]
            try:
                state = (await read_states([host], site, full=True))[host.name]
            except PortsideError as error:
                # A damaged file that is named already says more than what can't be parsed because of it.
                if any(finding.what.endswith(STATE_DAMAGED) for finding in findings):
                    return findings
                looked = Finding(host.name, error.what, "Look at ~/.portside and `docker ps` there.", error.why)
                return [*findings, looked]
            found.states[host.name] = state
            findings += [
                Finding(host.name, problem.what, problem.remedy)
                for problem in problems(state, environment, now=time.time())
            ]
            damaged = any(PROXY_CONFIG in finding.what for finding in findings)
            findings += await _proxy(config, environment, host, state, readable=found.readable, damaged=damaged)
    except PortsideError as error:
        findings.append(Finding.of(error, host.name))
    return findings


async def _proxy(
    config: Config, environment: Environment, host: Host, state: State, *, readable: bool, damaged: bool
) -> list[Finding]:
    """Does the proxy run, can its socket be reached, and is it set up as the files say, where they are `readable`?

    `damaged`: its configuration on disk is, and is a finding already.
    """
    apply = f"invoke host-bootstrap --env {environment.name}"
    if state.proxy is None or not state.proxy.running:
        # Before the first release there may be none: that release starts it.
        if state.proxy is None and state.current is None:
            return []
        what = "the proxy isn't running, so nothing is served"
        return [Finding(host.name, what, f"{apply}; or look at `docker logs portside-proxy-caddy-1` there")]
    found = []
    gone = not state.proxy_config and not damaged
    if gone:
        file = f"{state.base}/{PROXY_CONFIG}"
        found.append(Finding(host.name, f"{file} is gone, which the proxy starts with", proxy_remedy(environment.name)))
    plan = proxy_plan(config, environment, [host], {host.name: state}) if readable and not damaged else None
    for change in plan.hosts[host.name] if plan else ():
        if change.what in PROXY_CHANGES and (change.what != "proxy route" or (state.current and not gone)):
            what = f"the {change.what} isn't what compose/proxy.yaml and {FILE} say"
            found.append(Finding(host.name, what, apply, " ".join(filter(None, (change.before, change.after)))))
    socket = f"{state.base}/{ADMIN_SOCKET}"
    try:
        await host.reach(socket)
    except PortsideError as error:
        return [*found, await _silent(host, error, environment, damaged=damaged)]
    try:
        loaded = await _loaded(host, socket)
    except PortsideError as error:
        return [*found, Finding.of(error, host.name)]
    # Restarted without a file that it can read, it would serve nothing.
    if not gone and not damaged and loaded != json.loads(state.proxy_config):
        what = "the proxy runs with another configuration than the one on disk"
        found.append(Finding(host.name, what, "docker restart portside-proxy-caddy-1, which drops connections"))
    return found


async def _silent(host: Host, error: PortsideError, environment: Environment, *, damaged: bool) -> Finding:
    """Why a running proxy's socket can't be reached: sshd, when the Engine's can't be either, which is surely there;
    else the proxy, which doesn't listen where it should.
    """
    try:
        await host.reach(ENGINE_SOCKET)
    except PortsideError as again:
        if not environment.local:
            return Finding(
                host.name,
                "sshd doesn't allow tunnels to sockets",
                "Set `AllowStreamLocalForwarding local` and `DisableForwarding no` in /etc/ssh/sshd_config there, "
                "then: systemctl reload ssh. "
                "If it says so already, it is the options of the key in authorized_keys that forbid them.",
                "\n".join(filter(None, (f"{error.what}: {error.why}", f"{again.what}: {again.why}"))),
            )
    what = "the proxy runs, and its admin socket doesn't answer"
    before = f"Remove {PROXY_CONFIG}, which is damaged, before that." if damaged else ""
    remedy = "\n".join(filter(None, (ANEW.format(env=environment.name), before)))
    return Finding(host.name, what, remedy, f"{error.what}: {error.why}")


async def _loaded(host: Host, socket: str) -> object:
    admin = Admin(await host.tunnel(socket), host.name)
    return await admin.configuration()
