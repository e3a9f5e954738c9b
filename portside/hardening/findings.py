"""What makes a host easier to get into than it need be, judged from what its deploy user can see. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from portside.diagnosis import Finding
from portside.hardening import daemon, sshd, upgrades
from portside.hardening.plan import ROOT_GROUPS, TIMERS
from portside.hardening.posture import Posture
from portside.observe.place import PROJECT as OBSERVING

PASSWORD_METHODS = ("password", "keyboard-interactive")
# Containers that are meant to be reached: the proxy, and the gateway to which agents on other hosts write.
OPEN_ROLE = "proxy"


@dataclass(frozen=True)
class Expected:
    """What a host is compared with. `offered`: how sshd lets people in, as it said itself; None: it wasn't asked.

    `ports` are those that the environment listens on, `peers` the networks of a Swarm's other nodes; `reboot` as in
    upgrades.settings.
    """

    env: str
    user: str
    ports: frozenset[int] = frozenset()
    peers: tuple[str, ...] = ()
    reboot: str = ""
    offered: frozenset[str] | None = None

    @property
    def mend(self) -> str:
        return f"invoke host-bootstrap --env {self.env}"


def hardening_findings(host: str, posture: Posture, expected: Expected) -> tuple[list[Finding], list[str]]:
    """What is wrong, and what can't be known from here."""
    findings = [
        *_sshd(host, posture, expected),
        *_daemon(host, posture, expected),
        *_published(host, posture),
        *_upgrades(host, posture, expected),
        *_account(host, posture, expected),
        *_firewall(host, posture, expected),
    ]
    return findings, [f"{host}: {note}" for note in _unknown(posture, expected)]


def _sshd(host: str, posture: Posture, expected: Expected) -> Iterator[Finding]:
    if sshd.MAIN not in posture.sshd:
        return
    found = sshd.effective(posture.sshd)
    weak = sshd.weak(found)
    said = [f"{setting.keyword} {value.text if value else '(not set)'}: {setting.why}" for setting, value in weak]
    # A drop-in that this user can't read may say all of it.
    if sshd.DROP_IN not in posture.sshd and weak and not _hidden(posture):
        what = f"sshd isn't set up to keep others out: {sshd.DROP_IN} is missing"
        yield Finding(host, what, expected.mend, "\n".join(said))
        return
    for setting, value in weak:
        if value is None and _hidden(posture):
            continue
        if value is None or value.file == sshd.DROP_IN:
            remedy = expected.mend
        else:
            remedy = f"Remove the line from {value.file} there, then: sudo systemctl restart ssh"
        shown = f"{value.text}, by {value.file}" if value else "not set"
        yield Finding(host, f"sshd: {setting.keyword} is {shown}", remedy, f"Wanted is {setting.value}: {setting.why}.")
    passwords = {"PasswordAuthentication", "KbdInteractiveAuthentication"} & {setting.keyword for setting, _ in weak}
    offered = sorted((expected.offered or frozenset()) & set(PASSWORD_METHODS))
    if offered and not passwords:
        yield Finding(
            host,
            f"sshd takes passwords ({', '.join(offered)}), though its files say otherwise",
            "It runs with older settings: sudo systemctl restart ssh",
            "A password can be guessed from anywhere.",
        )


def _hidden(posture: Posture) -> bool:
    return any(path.startswith("/etc/ssh/") for path in posture.unreadable)


def _daemon(host: str, posture: Posture, expected: Expected) -> Iterator[Finding]:
    if posture.live_restore is False and not posture.swarm:
        yield Finding(
            host,
            "containers stop with the Docker Engine: live-restore is off",
            _or_by_hand(posture, daemon.LIVE_RESTORE, expected),
            "An upgrade of Docker, which may install itself, then takes the service down.",
        )
    if daemon.FILE in posture.unreadable:
        return
    try:
        there = daemon.parse(posture.daemon)
    except ValueError as error:
        yield Finding(host, f"{daemon.FILE} can't be read", "Correct it there: dockerd --validate", str(error))
        return
    proxied = there.get(daemon.USERLAND_PROXY, True) is not False
    if proxied and not any(daemon.USERLAND_PROXY in flag for flag in posture.flags):
        yield Finding(
            host,
            "each published port has a process of its own: userland-proxy is on",
            _or_by_hand(posture, daemon.USERLAND_PROXY, expected),
            "It hides the sender's address from the proxy where it is used, and is one more thing that runs as root.",
        )
    elif not proxied and posture.userland_proxies:
        yield Finding(
            host,
            f"the Docker Engine runs with other settings than {daemon.FILE}: it still has userland proxies",
            "sudo systemctl restart docker",
        )
    if daemon.rotates(there, posture.flags) is False:
        yield Finding(
            host,
            "the log of a container can fill the disk: its size has no limit",
            expected.mend,
            f"{daemon.FILE} has no {daemon.LOG_OPTS} with max-size. Containers that are there keep their own setting.",
        )


def _or_by_hand(posture: Posture, key: str, expected: Expected) -> str:
    """A key that somebody set is kept by the bootstrap, so only they can mend it."""
    if f'"{key}"' in posture.daemon:
        return f"Remove {key} from {daemon.FILE} there, then: {expected.mend}"
    return expected.mend


def _published(host: str, posture: Posture) -> Iterator[Finding]:
    for each in posture.published:
        if each.role != OPEN_ROLE and each.project != OBSERVING:
            yield Finding(
                host,
                f"{each.name} is open to everybody at port {', '.join(each.ports)}",
                'Publish it on one address ("127.0.0.1:PORT:PORT"), or not at all: containers reach each other anyway.',
                "What Docker publishes goes past the host's own firewall.",
            )


def _upgrades(host: str, posture: Posture, expected: Expected) -> Iterator[Finding]:
    if posture.system not in upgrades.SYSTEMS:
        return
    lacking = []
    if not posture.upgrades:
        lacking.append(f"{upgrades.PACKAGE} isn't installed.")
    for name in ("Update-Package-Lists", "Unattended-Upgrade"):
        if upgrades.option(posture.apt, f"APT::Periodic::{name}") in ("", "0"):
            lacking.append(f"APT::Periodic::{name} is off.")
    if not upgrades.takes_security(posture.apt):
        lacking.append("No Unattended-Upgrade::Origins-Pattern takes security updates.")
    if posture.systemd and not posture.timers >= TIMERS:
        lacking.append(f"Not enabled: {', '.join(f'{name}.timer' for name in sorted(TIMERS - posture.timers))}.")
    if lacking:
        yield Finding(host, "security updates don't install themselves", expected.mend, "\n".join(lacking))
    elif (when := _reboots(posture)) != expected.reboot:
        yield Finding(
            host,
            f"it restarts by itself {f'at {when}' if when else 'never'}, where reboot_at "
            f"{f'makes that {expected.reboot}' if expected.reboot else 'is not set'}",
            expected.mend,
        )
    if posture.reboot_required:
        yield Finding(
            host,
            "an update waits for a restart of the host",
            'sudo reboot there, one host after the other; or set reboot_at = "04:00" in the environment',
            "/run/reboot-required is there: what runs is older than what is installed.",
        )


def _reboots(posture: Posture) -> str:
    """When it restarts by itself; "" for never. Without a time it is at once, whenever that is."""
    if upgrades.option(posture.apt, "Unattended-Upgrade::Automatic-Reboot").lower() not in ("true", "1", "yes"):
        return ""
    return upgrades.option(posture.apt, "Unattended-Upgrade::Automatic-Reboot-Time") or "any time"


def _account(host: str, posture: Posture, expected: Expected) -> Iterator[Finding]:
    if expected.user == "root":
        yield Finding(
            host,
            "releases come in as root",
            f'Name another user in hosts ("deploy@…"), then: {expected.mend}',
            "Nobody can tell then who did what, and the key can't be held to releases.",
        )
        return
    groups = sorted(posture.groups & set(ROOT_GROUPS))
    if groups:
        yield Finding(
            host,
            f"{expected.user} is in the group {', '.join(groups)}, which a release doesn't need",
            expected.mend,
        )
    elif posture.sudo:
        yield Finding(
            host,
            f"{expected.user} may use sudo without a password, which a release doesn't need",
            "Remove its line: sudo grep -r " + expected.user + " /etc/sudoers /etc/sudoers.d",
        )
    for line in posture.keys:
        if not line.restricted:
            yield Finding(
                host,
                f"the key {line.name} of {expected.user} may do more than releases need",
                f"{expected.mend} --key FILE, with its public half (a person's: also --person)",
                "Its line in authorized_keys has no `restrict`: terminals, tunnels, X11 and the agent of who logs in.",
            )


def _firewall(host: str, posture: Posture, expected: Expected) -> Iterator[Finding]:
    if not posture.nft:
        return
    if posture.systemd and not posture.nft_at_boot:
        yield Finding(
            host,
            "the firewall is gone after the next boot: portside-firewall is not enabled",
            "sudo systemctl enable --now portside-firewall",
        )
    if posture.nft_in_force is False:
        yield Finding(host, "the firewall's rules are not in force", "sudo nft --file /etc/portside/firewall.nft")
    closed = sorted(expected.ports - _opened(posture.nft))
    if closed:
        yield Finding(
            host,
            f"the firewall closes port {', '.join(map(str, closed))}, where this environment listens",
            f"{expected.mend} --firewall",
        )
    strange = [peer for peer in expected.peers if f"saddr {peer} udp" not in posture.nft]
    if strange:
        yield Finding(
            host,
            f"the firewall keeps the Swarm's nodes in {', '.join(strange)} out",
            f"{expected.mend} --firewall",
        )


def _opened(rules: str) -> set[int]:
    """The ports that they open. An owner may have put a range there, or a name, which says nothing here."""
    opened: set[int] = set()
    for ports in re.findall(r"tcp dport \{([^}]*)\}", rules):
        for first, last in re.findall(r"(?<![\w-])(\d+)(?:\s*-\s*(\d+))?(?![\w-])", ports):
            opened.update(range(int(first), int(last or first) + 1))
    return opened


def _unknown(posture: Posture, expected: Expected) -> Iterator[str]:
    for path in sorted(posture.unreadable):
        yield f"{path} can't be read by {expected.user}, so what it says isn't known"
    matched = _weak_matches(sshd.effective(posture.sshd).matched)
    if matched:
        yield f"for some connections (Match) sshd says otherwise: {', '.join(matched)}"
    if posture.live_restore is None:
        yield "Docker didn't say how it is set up"
    if posture.swarm:
        yield "it is in a swarm, where the Engine refuses live-restore"
    if posture.system not in upgrades.SYSTEMS:
        yield "updates are looked at on Debian and Ubuntu only"
    elif not posture.systemd:
        yield "there is no systemd, so whether anything starts the upgrades isn't known"
    if not posture.nft and not posture.ufw:
        yield f"no firewall of its own is known; {expected.mend} --firewall makes one, if nothing stands before it"


def _weak_matches(matched: Sequence[tuple[str, sshd.Value]]) -> list[str]:
    accepted = {setting.keyword.lower(): setting for setting in sshd.SETTINGS}
    return [
        f"{accepted[keyword].keyword} {value.text} in {value.file}"
        for keyword, value in matched
        if keyword in accepted and not accepted[keyword].accepts(value.text)
    ]
