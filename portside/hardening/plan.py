"""What a host still lacks to be hard to get into: from what it says to steps, and to what was left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portside.bootstrap import TRIAL_SECONDS, Step
from portside.engine import APT_SECONDS, LOG_FILE, START_SECONDS
from portside.errors import PreflightError
from portside.hardening import daemon, keys, sshd, upgrades
from portside.hardening.daemon import Daemon
from portside.hardening.posture import Posture

SCRIPT = "harden"
# Whoever is in one of these may become root with a password, or without one.
ROOT_GROUPS = ("sudo", "admin", "wheel")
# A reload, a restart, and all of it back again.
DAEMON_SECONDS = 5 * START_SECONDS
FOLDER = sshd.DROP_IN.rpartition("/")[0]
TIMERS = frozenset({"apt-daily", "apt-daily-upgrade"})


@dataclass(frozen=True)
class Hardening:
    """What a host is to have. `login`: as whom the administrator is connected; `reboot`: see upgrades.settings."""

    user: str
    key: str
    login: str
    person: bool = False
    reboot: str = ""


def hardened(posture: Posture, wish: Hardening, host: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps that `host` still needs, and what is left as it is. Raises PreflightError where it can't be done.

    sshd is the last one: what may lock somebody out comes when nothing else can fail any more.
    """
    notes: list[str] = []
    engine = _merged(posture, host)
    steps = (
        *_key(posture, wish, notes),
        *_account(posture, wish, notes),
        *_daemon(posture, engine, host, notes),
        *_upgrades(posture, wish, notes, live_restore=engine.live_restore),
        *_sshd(posture, host, notes),
    )
    return steps, tuple(notes)


def _key(posture: Posture, wish: Hardening, notes: list[str]) -> Iterator[Step]:
    if wish.user == "root":
        notes.append("releases come in as root here: its keys are left as they are")
        return
    # A key that was added twice is one step: it is for every line that begins so.
    lines = {line.head: line for line in posture.keys if line.blob == wish.key.split()[1]}
    for line in lines.values():
        new = keys.corrected(line, wish.key, posture.home, person=wish.person)
        if new:
            yield Step(
                "key_options",
                f"let the key {line.name} do {what_a_key_may(person=wish.person)}",
                (wish.user, line.head, new),
                script=SCRIPT,
            )
        elif not line.restricted:
            notes.append(f"the key {line.name} has options of somebody's own: left so")


def what_a_key_may(*, person: bool) -> str:
    return "releases, terminals and tunnels" if person else "releases and no more (no terminal, no tunnels: --person)"


def _account(posture: Posture, wish: Hardening, notes: list[str]) -> Iterator[Step]:
    if wish.user == "root":
        return
    groups = tuple(group for group in ROOT_GROUPS if group in posture.groups)
    if groups and wish.login == wish.user:
        notes.append(
            f"{wish.user} is in the group {', '.join(groups)}, and it is {wish.user} who is logged in: "
            "come in as somebody else to take it out"
        )
    elif groups:
        yield Step(
            "no_sudo",
            f"take {wish.user} out of the group {', '.join(groups)}",
            (wish.user, *groups),
            script=SCRIPT,
        )
    if posture.password:
        yield Step("no_password", f"take away the password of {wish.user}", (wish.user,), script=SCRIPT)


def _merged(posture: Posture, host: str) -> Daemon:
    """What its daemon.json is to be. Raises PreflightError where it can't be read."""
    try:
        return daemon.merged(posture.daemon, flags=posture.flags, swarm=posture.swarm)
    except ValueError as error:
        raise PreflightError(
            f"{daemon.FILE} can't be read",
            where=host,
            why=str(error),
            remedy="Correct it there; `dockerd --validate` says whether it is right.",
        ) from None


def _daemon(posture: Posture, wanted: Daemon, host: str, notes: list[str]) -> Iterator[Step]:
    notes += wanted.kept
    if not wanted.text:
        return
    if wanted.restart and posture.busy:
        raise PreflightError(
            f"somebody is releasing to {', '.join(sorted(posture.busy))}, and the Docker Engine would be restarted",
            where=host,
            remedy="Wait until that is done, then type the same again.",
        )
    if not wanted.restart:
        how = "reload the Docker Engine with it"
    elif wanted.live_restore:
        how = "restart the Docker Engine: its containers go on, for about a second they take no new connections"
    else:
        how = "restart the Docker Engine, and with it every container"
    yield Step(
        "daemon",
        f"complete {daemon.FILE} (live-restore, userland-proxy, log rotation), {how}",
        (posture.daemon_hash, "restart" if wanted.restart else "reload", f"{START_SECONDS:.0f}", str(LOG_FILE)),
        DAEMON_SECONDS,
        script=SCRIPT,
        disrupts=wanted.restart,
        # A company's proxy stands there with its password.
        stdin=wanted.text,
    )


def _upgrades(posture: Posture, wish: Hardening, notes: list[str], *, live_restore: bool) -> Iterator[Step]:
    if posture.system not in upgrades.SYSTEMS:
        notes.append(f"{posture.system or 'this system'} isn't Debian or Ubuntu: its updates are left to its owner")
        return
    text = upgrades.settings(posture.system, reboot=wish.reboot, live_restore=live_restore)
    timers = not posture.systemd or posture.timers >= TIMERS
    if posture.upgrades and posture.apt_file == text and timers:
        return
    when = f"restart at {wish.reboot} where one asks for it" if wish.reboot else "never restart by themselves"
    packages = () if posture.upgrades else (upgrades.PACKAGE,)
    yield Step(
        "upgrades",
        f"let security updates install themselves, and {when}",
        (*packages, "--", upgrades.FILE, text),
        2 * APT_SECONDS,
        script=SCRIPT,
    )


def _sshd(posture: Posture, host: str, notes: list[str]) -> Iterator[Step]:
    if sshd.MAIN not in posture.sshd:
        notes.append(f"it has no {sshd.MAIN}: its SSH server is left to its owner")
        return
    text = sshd.drop_in(posture.sshd)
    found = sshd.effective({**posture.sshd, sshd.DROP_IN: text})
    if sshd.DROP_IN not in found.included:
        raise PreflightError(
            f"its {sshd.MAIN} doesn't include {FOLDER}, so what is put there counts for nothing",
            where=host,
            remedy=f"Put this line at its beginning: Include {FOLDER}/*.conf",
        )
    for setting, value in sshd.weak(found):
        if value:
            notes.append(f"{value.file} says {setting.keyword} {value.text}: left so")
    if posture.sshd.get(sshd.DROP_IN) != text:
        yield Step(
            "sshd_settings",
            "have sshd take keys only: no passwords, no forwarding of agents and X11, dead sessions end",
            (text, f"{TRIAL_SECONDS}"),
            script=SCRIPT,
            keep="sshd_keep",
        )
