"""What makes a host hard to get into: the steps it still needs, and what the doctor says of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portside.bootstrap import Step
from portside.diagnosis import Finding
from portside.errors import HostError, PreflightError
from portside.hardening import daemon, keys, sshd, upgrades
from portside.hardening.findings import Expected, hardening_findings
from portside.hardening.plan import Hardening, hardened
from portside.hardening.posture import Posture, Published, parse_posture

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAda ada@laptop"
WISH = Hardening(user="deploy", key=KEY, login="root")
INCLUDES = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"
CLOUD_INIT = "/etc/ssh/sshd_config.d/50-cloud-init.conf"


def line(text: str) -> keys.Line:
    parsed = keys.parse(text)
    assert parsed is not None
    return parsed


def dump(text: str) -> tuple[str, ...]:
    """What `apt-config dump` makes of the settings that ours are made of."""
    found = []
    for each in text.replace("{\n", "{").splitlines():
        if each.startswith(("APT::", "Unattended-Upgrade::Automatic")):
            name, value = each.rstrip(";").split(" ", 1)
            found.append(f"{name} {value};")
        elif each.startswith("Unattended-Upgrade::Origins-Pattern {"):
            found.append(f"Unattended-Upgrade::Origins-Pattern:: {each.partition('{')[2].strip()}")
    return tuple(found)


FOR_RELEASES = keys.options("/home/deploy", person=False)
UPGRADES = upgrades.settings("debian")
DAEMON = daemon.merged("").text
HARD = Posture(
    system="debian", systemd=True, sshd={sshd.MAIN: INCLUDES, sshd.DROP_IN: sshd.drop_in({})},
    daemon=DAEMON, daemon_hash=hashlib.sha256(DAEMON.encode()).hexdigest(), live_restore=True, upgrades=True,
    timers=frozenset({"apt-daily", "apt-daily-upgrade"}), apt_file=UPGRADES, apt=dump(UPGRADES),
    home="/home/deploy",
    groups=frozenset({"deploy", "docker"}), password=False, keys=(line(f"{FOR_RELEASES} {KEY}"),), ufw=True,
)  # fmt: skip
BARE = Posture(system="debian", systemd=True, sshd={sshd.MAIN: INCLUDES}, password=False)


def steps(posture: Posture, wish: Hardening = WISH) -> list[Step]:
    return list(hardened(posture, wish, "web-1")[0])


def notes(posture: Posture, wish: Hardening = WISH) -> str:
    return "\n".join(hardened(posture, wish, "web-1")[1])


def found(posture: Posture, **expected: Any) -> list[Finding]:
    findings, _ = hardening_findings("web-1", posture, Expected(**{"env": "prod", "user": "deploy", **expected}))
    return findings


def unknown(posture: Posture) -> str:
    return "\n".join(hardening_findings("web-1", posture, Expected(env="prod", user="deploy"))[1])


def with_sshd(posture: Posture, path: str, text: str) -> Posture:
    return replace(posture, sshd={**posture.sshd, path: text})


def test_a_hard_host_needs_nothing_and_the_doctor_is_quiet() -> None:
    assert steps(HARD) == []
    assert notes(HARD) == ""
    assert found(replace(HARD, password=None)) == []
    assert unknown(replace(HARD, password=None)) == ""


def test_what_may_lock_somebody_out_comes_last_and_is_on_trial() -> None:
    names = [step.name for step in steps(BARE)]
    assert names == ["daemon", "upgrades", "sshd_settings"]
    assert steps(BARE)[-1].keep


def test_our_settings_come_before_what_a_provider_put_there() -> None:
    cloud = with_sshd(BARE, CLOUD_INIT, "PasswordAuthentication yes\n")
    merged = sshd.effective({**cloud.sshd, sshd.DROP_IN: steps(cloud)[-1].arguments[0]})
    value = merged.of("PasswordAuthentication")
    assert value is not None
    assert (value.text, value.file) == ("no", sshd.DROP_IN)


@pytest.mark.parametrize("where", [sshd.MAIN, CLOUD_INIT])
def test_a_root_login_that_somebody_closed_is_not_opened(where: str) -> None:
    closed = with_sshd(HARD, where, (INCLUDES if where == sshd.MAIN else "") + "PermitRootLogin no\n")
    (step,) = steps(closed)
    assert "\nPermitRootLogin no\n" in step.arguments[0]
    assert "prohibit-password" not in step.arguments[0]
    assert steps(with_sshd(closed, sshd.DROP_IN, step.arguments[0])) == []


def test_a_file_that_comes_before_ours_wins_and_is_said() -> None:
    first = "/etc/ssh/sshd_config.d/00-mine.conf"
    mine = with_sshd(HARD, first, "PasswordAuthentication yes # for the printer\n")
    assert steps(mine) == []
    assert f"{first} says PasswordAuthentication yes" in notes(mine)
    (finding,) = found(mine)
    assert first in finding.what
    assert first in finding.remedy


def test_an_sshd_that_would_not_read_our_file_is_refused() -> None:
    with pytest.raises(PreflightError, match="doesn't include") as refused:
        steps(replace(BARE, sshd={sshd.MAIN: "UsePAM yes\n"}))
    assert "Include /etc/ssh/sshd_config.d/*.conf" in refused.value.remedy


def test_a_line_in_the_file_before_its_include_counts_first() -> None:
    values = sshd.effective({sshd.MAIN: "maxauthtries=10\n" + INCLUDES, sshd.DROP_IN: "MaxAuthTries 6\n"})
    value = values.of("MaxAuthTries")
    assert value is not None
    assert (value.text, value.file) == ("10", sshd.MAIN)


def test_a_match_block_ends_with_its_file_and_is_told_but_not_judged() -> None:
    block = "Match Address 10.0.0.0/8\nPasswordAuthentication yes\n"
    matched = with_sshd(HARD, "/etc/ssh/sshd_config.d/00-a.conf", block)
    assert found(matched) == []
    assert "PasswordAuthentication yes in /etc/ssh/sshd_config.d/00-a.conf" in unknown(matched)


def test_keys_that_people_set_in_daemon_json_win_and_are_said() -> None:
    wanted = daemon.merged('{"live-restore": false, "log-driver": "journald", "data-root": "/srv"}')
    assert json.loads(wanted.text) == {
        "live-restore": False, "log-driver": "journald", "data-root": "/srv", "userland-proxy": False,
    }  # fmt: skip
    assert len(wanted.kept) == 2
    assert not wanted.live_restore


def test_what_is_there_stays_and_what_is_missing_is_added_once() -> None:
    wanted = daemon.merged('{"log-opts": {"max-size": "50m", "labels": "a"}}')
    assert json.loads(wanted.text)["log-opts"] == {"max-size": "50m", "max-file": "3", "labels": "a"}
    assert daemon.merged(wanted.text).text == ""


def test_live_restore_alone_needs_no_restart() -> None:
    there = json.loads(DAEMON)
    del there["live-restore"]
    wanted = daemon.merged(json.dumps(there))
    assert (bool(wanted.text), wanted.restart) == (True, False)


def test_a_flag_of_dockerd_is_not_said_twice() -> None:
    wanted = daemon.merged("", flags=["--userland-proxy=true", "--log-opt", "--log-driver=syslog"])
    assert json.loads(wanted.text) == {"live-restore": True}
    assert len(wanted.kept) == 2


def test_in_a_swarm_live_restore_is_left_out_and_docker_is_not_upgraded_by_itself() -> None:
    daemon_step, upgrades_step, _ = steps(replace(BARE, swarm=True))
    assert "live-restore" not in json.loads(daemon_step.stdin)
    assert "every container" in daemon_step.what
    assert '"^docker";' in upgrades_step.arguments[-1]
    assert "swarm" in notes(replace(BARE, swarm=True))


def test_the_engine_is_not_restarted_under_somebodys_release() -> None:
    with pytest.raises(PreflightError, match="releasing to links-prod"):
        steps(replace(BARE, busy=frozenset({"links-prod"})))
    assert steps(replace(HARD, busy=frozenset({"links-prod"}))) == []


def test_a_daemon_json_that_is_none_is_refused() -> None:
    for text in ("{", "[]"):
        with pytest.raises(PreflightError, match=r"daemon\.json can't be read"):
            steps(replace(BARE, daemon=text))


@pytest.mark.parametrize("system", upgrades.SYSTEMS)
def test_only_security_updates_install_themselves(system: str) -> None:
    text = upgrades.settings(system)
    patterns = [each for each in text.splitlines() if "origin=" in each]
    assert patterns
    assert all("security" in each for each in patterns)
    assert "#clear Unattended-Upgrade::Allowed-Origins" in text
    assert 'Automatic-Reboot "false"' in text


def test_hosts_restart_one_after_the_other_and_only_when_asked() -> None:
    assert upgrades.reboot_time(None, 3) == ""
    assert [upgrades.reboot_time("23:50", position) for position in range(3)] == ["23:50", "00:05", "00:20"]
    (step,) = steps(HARD, replace(WISH, reboot="04:00"))
    assert 'Automatic-Reboot-Time "04:00"' in step.arguments[-1]
    (finding,) = found(HARD, reboot="04:00")
    assert "never" in finding.what


def test_another_system_keeps_its_updates_to_itself() -> None:
    fedora = replace(HARD, system="fedora", upgrades=False, apt=(), apt_file="")
    assert steps(fedora) == []
    assert found(fedora) == []
    assert "Debian and Ubuntu" in unknown(fedora)


def test_a_key_that_may_do_anything_is_held_to_releases_unless_it_is_a_persons() -> None:
    free = replace(HARD, keys=(line(KEY),))
    (step,) = steps(free)
    assert step.arguments == ("deploy", KEY.rpartition(" ")[0], f"{FOR_RELEASES} {KEY}")
    (step,) = steps(free, replace(WISH, person=True))
    assert step.arguments[-1] == f"{keys.FOR_A_PERSON} {KEY}"
    (step,) = steps(HARD, replace(WISH, person=True))
    assert step.arguments[-1] == f"{keys.FOR_A_PERSON} {KEY}"
    persons = replace(HARD, keys=(line(f"{keys.FOR_A_PERSON} {KEY}"),))
    assert steps(persons) == []
    assert found(persons) == []


def test_options_of_somebodys_own_are_left_and_said() -> None:
    own = replace(HARD, keys=(line(f'from="10.0.0.0/8,restrict" {KEY}'),))
    assert steps(own) == []
    assert "ada@laptop" in notes(own)
    (finding,) = found(own)
    assert "ada@laptop" in finding.what


def test_keys_of_others_are_not_touched_by_the_bootstrap_and_found_by_the_doctor() -> None:
    other = "ssh-rsa AAAAB3Bob bob@laptop"
    both = replace(HARD, keys=(*HARD.keys, line(other)))
    assert steps(both) == []
    (finding,) = found(both)
    assert "bob@laptop" in finding.what


def test_comments_and_empty_lines_are_no_keys() -> None:
    assert keys.parse("# ssh-ed25519 AAAA old") is None
    assert keys.parse("") is None


def test_who_comes_in_as_root_keeps_roots_keys() -> None:
    assert steps(replace(HARD, keys=(line(KEY),)), replace(WISH, user="root")) == []


def test_sudo_and_a_password_are_taken_away_but_not_from_whoever_is_using_them() -> None:
    sudoer = replace(HARD, groups=frozenset({"deploy", "sudo"}), password=True)
    assert [step.name for step in steps(sudoer)] == ["no_sudo", "no_password"]
    assert [step.name for step in steps(sudoer, replace(WISH, login="deploy"))] == ["no_password"]
    assert "come in as somebody else" in notes(sudoer, replace(WISH, login="deploy"))


def without(text: str, word: str) -> str:
    return "".join(each for each in text.splitlines(keepends=True) if word not in each)


DROP_IN = HARD.sshd[sshd.DROP_IN]
UNDONE: dict[str, tuple[Callable[[Posture], Posture], str]] = {
    "passwords": (
        lambda it: with_sshd(it, sshd.DROP_IN, re.sub("(?m)^(PasswordAuthentication) no", r"\1 yes", DROP_IN)),
        "PasswordAuthentication is yes",
    ),
    "setting": (lambda it: with_sshd(it, sshd.DROP_IN, without(DROP_IN, "MaxAuthTries")), "MaxAuthTries is not set"),
    "grace": (
        lambda it: with_sshd(it, sshd.DROP_IN, DROP_IN.replace("LoginGraceTime 30", "LoginGraceTime 2m")),
        "LoginGraceTime is 2m",
    ),
    "drop-in": (lambda it: replace(it, sshd={sshd.MAIN: INCLUDES}), "is missing"),
    "live-restore": (lambda it: replace(it, live_restore=False), "live-restore is off"),
    "userland-proxy": (
        lambda it: replace(it, daemon=it.daemon.replace('"userland-proxy": false', '"userland-proxy": true')),
        "userland-proxy is on",
    ),
    "not restarted": (lambda it: replace(it, userland_proxies=2), "runs with other settings"),
    "logs": (lambda it: replace(it, daemon=it.daemon.replace("max-size", "labels")), "can fill the disk"),
    "damaged": (lambda it: replace(it, daemon="{"), "can't be read"),
    "published": (
        lambda it: replace(it, published=(Published("pg-1", "", "links-prod-accessories", ("5432",)),)),
        "open to everybody at port 5432",
    ),
    "package": (lambda it: replace(it, upgrades=False), "don't install themselves"),
    "timer": (lambda it: replace(it, timers=frozenset({"apt-daily"})), "don't install themselves"),
    "origins": (
        lambda it: replace(it, apt=tuple(each for each in it.apt if "Origins" not in each)),
        "don't install themselves",
    ),
    "reboot": (
        lambda it: replace(it, apt=(*it.apt, 'Unattended-Upgrade::Automatic-Reboot "true";')),
        "restarts by itself at any time",
    ),
    "reboot due": (lambda it: replace(it, reboot_required=True), "waits for a restart"),
    "group": (lambda it: replace(it, groups=frozenset({"sudo"})), "in the group sudo"),
    "sudo": (lambda it: replace(it, sudo=True), "may use sudo"),
    "firewall at boot": (lambda it: replace(it, nft="tcp dport { 22, 80 } accept"), "gone after the next boot"),
    "firewall in force": (
        lambda it: replace(it, nft="tcp dport { 22, 80 } accept", nft_at_boot=True, nft_in_force=False),
        "not in force",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNDONE)
def test_each_thing_undone_is_found_alone_with_what_mends_it(what: str) -> None:
    undo, words = UNDONE[what]
    (finding,) = found(undo(replace(HARD, password=None)))
    assert words in finding.what
    assert finding.where == "web-1"
    assert finding.remedy


def test_the_proxy_and_the_gateway_are_meant_to_be_open() -> None:
    meant = (
        Published("proxy", "proxy", "portside-proxy", ("80",)),
        Published("in", "", "portside-observability", ("9443",)),
    )
    assert found(replace(HARD, published=meant)) == []


def test_a_firewall_that_closes_the_service_is_found() -> None:
    closed = replace(HARD, nft="tcp dport { 22, 80 } accept", nft_at_boot=True)
    assert found(closed, ports=frozenset({80})) == []
    (finding,) = found(closed, ports=frozenset({80, 8443}))
    assert "8443" in finding.what


def test_an_owner_may_have_put_a_range_or_a_name_there() -> None:
    edited = replace(HARD, nft="tcp dport { ssh, 80, 8000-8100 } accept", nft_at_boot=True)
    assert found(edited, ports=frozenset({80, 8042})) == []
    (finding,) = found(edited, ports=frozenset({8101}))
    assert "8101" in finding.what


def test_a_firewall_that_cuts_the_nodes_of_a_swarm_off_is_found() -> None:
    opened = replace(
        HARD, nft="tcp dport { 22 } accept ip saddr 10.0.0.0/24 udp dport { 4789, 7946 }", nft_at_boot=True
    )
    assert found(opened, peers=("10.0.0.0/24",)) == []
    (finding,) = found(opened, peers=("10.0.0.0/24", "10.1.0.0/24"))
    assert "10.1.0.0/24 out" in finding.what


def test_an_sshd_that_was_not_reloaded_is_found_by_what_it_offers() -> None:
    assert found(HARD, offered=frozenset({"publickey"})) == []
    (finding,) = found(HARD, offered=frozenset({"publickey", "password"}))
    assert "though its files say otherwise" in finding.what


def test_what_only_root_may_read_is_said_and_not_guessed() -> None:
    hidden = replace(HARD, sshd={sshd.MAIN: INCLUDES}, unreadable=frozenset({sshd.DROP_IN}))
    assert found(hidden) == []
    assert sshd.DROP_IN in unknown(hidden)
    assert "isn't known" in unknown(replace(HARD, systemd=False))
    assert "no firewall of its own" in unknown(replace(HARD, ufw=False))


def test_releases_that_come_in_as_root_are_found() -> None:
    (finding,) = found(HARD, user="root")
    assert "as root" in finding.what


TOLD = f"""@@machine
system debian
uid 1000
systemd yes
@@sshd /etc/ssh/sshd_config
{INCLUDES}
@@unreadable /etc/ssh/sshd_config.d/99-secret.conf
@@daemon /etc/docker/daemon.json
{{"live-restore": true}}

@@docker
daemon_hash abc
live_restore true
swarm inactive
userland_proxies 1
flag --userland-proxy=true
@@published
pg-1|||0.0.0.0:5432->5432/tcp, [::]:5432->5432/tcp, 127.0.0.1:9->9/tcp
web-1|||8000/tcp
@@upgrades
installed yes
timer apt-daily
@@apt
APT::Periodic::Unattended-Upgrade "1";
@@account
groups deploy docker
sudo yes
busy links-prod
@@keys /home/deploy/.ssh/authorized_keys
# ours
restrict {KEY}

@@firewall
@@end
"""


def test_a_host_tells_of_itself() -> None:
    told = parse_posture(TOLD, "web-1")
    assert (told.system, told.systemd, told.password) == ("debian", True, None)
    assert told.sshd == {sshd.MAIN: INCLUDES}
    assert told.unreadable == {"/etc/ssh/sshd_config.d/99-secret.conf"}
    assert told.live_restore
    assert not told.swarm
    assert told.flags == ("--userland-proxy=true",)
    assert told.published == (Published("pg-1", "", "", ("5432",)),)
    assert told.sudo
    assert told.busy == {"links-prod"}
    assert [each.comment for each in told.keys] == ["ada@laptop"]


def test_half_an_answer_is_an_error_that_shows_it() -> None:
    with pytest.raises(HostError, match="can't be understood"):
        parse_posture("This account is not available.\n", "web-1")
    with pytest.raises(HostError):
        parse_posture(TOLD.replace("@@end\n", ""), "web-1")
