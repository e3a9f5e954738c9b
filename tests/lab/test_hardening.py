"""What a bootstrap makes of a machine that lets passwords in: each promise is tried, and missed when it is undone."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from typing import Any

import asyncssh
import httpx
import pytest

from portside.hardening import daemon, keys, sshd, upgrades
from portside.host.script import root_argv
from tests.lab.faults import as_root
from tests.lab.plain import as_deploy, bootstrap, ssh
from tests.lab.project import Project, wait_until

pytestmark = pytest.mark.hosts

PASSWORD = "correct horse"
PROXY = "portside-proxy-caddy-1"
STOP_ENGINE = "p=$(cat /run/docker.pid); kill $p; while grep -qs '^State:.[^Z]' /proc/$p/status; do sleep 0.1; done"
START_ENGINE = "setsid dockerd </dev/null >>/var/log/again.log 2>&1 & until docker version; do sleep 0.2; done"


def root(plain: Project, script: str) -> str:
    return plain.shell(plain.hosts[0], "bash", "-ec", script)


def opens_to_a_password(plain: Project, user: str) -> bool:
    """Somebody who knows the password of `user` gets in."""

    async def enter() -> bool:
        try:
            async with asyncssh.connect(
                plain.hosts[0].address, username=user, password=PASSWORD, client_keys=None, agent_path=None,
                known_hosts=None, config=None, preferred_auth="password,keyboard-interactive",
            ):  # fmt: skip
                return True
        except asyncssh.PermissionDenied:
            return False

    return asyncio.run(enter())


def findings(plain: Project, *, code: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plain.invoke("doctor", "--env", "lab", "--json", code=code).data["findings"]
    return found


def reload_sshd(plain: Project) -> None:
    """As systemd would; back when it listens again."""
    root(
        plain, "p=$(cat /run/sshd.pid); rm /run/sshd.pid; kill -HUP $p; until [ -s /run/sshd.pid ]; do sleep 0.1; done"
    )


def running(plain: Project) -> str:
    """Which proxy container it is, and since when."""
    return plain.shell(
        plain.hosts[0], "docker", "inspect", "-f", "{{.Id}} {{.State.StartedAt}} {{.State.Status}}", PROXY
    )


def test_a_bootstrap_closes_every_way_in_but_keys(plain: Project) -> None:
    root(plain, f"echo 'root:{PASSWORD}' | chpasswd")
    assert opens_to_a_password(plain, "root")
    assert "sshd_settings" in [step["step"] for step in bootstrap(plain)["hosts"][plain.hosts[0].name]]
    root(plain, f"echo 'deploy:{PASSWORD}' | chpasswd")
    assert not opens_to_a_password(plain, "root")
    assert not opens_to_a_password(plain, "deploy")
    # A password is no way in any more, and is taken away as well.
    assert bootstrap(plain)["hosts"][plain.hosts[0].name][0]["step"] == "no_password"
    assert root(plain, "getent shadow deploy | cut -d: -f2") == "*"


def test_sshd_itself_says_what_the_drop_in_says(plain: Project) -> None:
    said = dict(line.partition(" ")[::2] for line in root(plain, "sshd -T").splitlines())
    for setting in sshd.SETTINGS:
        assert setting.accepts(said[setting.keyword.lower()]), setting
    assert root(plain, f"head -n 1 {sshd.DROP_IN}").startswith("# Written by `invoke host-bootstrap`")


def test_a_second_run_has_nothing_to_do_and_the_doctor_nothing_to_say(plain: Project) -> None:
    assert bootstrap(plain)["outcome"] == "unchanged"
    assert findings(plain, code=0) == []


def test_containers_go_on_while_the_engine_is_restarted(plain: Project) -> None:
    host = plain.hosts[0]
    before = running(plain)
    assert plain.shell(host, "docker", "info", "--format", "{{.LiveRestoreEnabled}}") == "true"
    root(plain, STOP_ENGINE)
    assert httpx.get(plain.url()).status_code == 503
    root(plain, START_ENGINE)
    assert running(plain) == before
    assert httpx.get(plain.url()).status_code == 503
    assert root(plain, "pidof docker-proxy || echo none") == "none"


def test_the_log_of_a_new_container_has_an_end(plain: Project) -> None:
    host = plain.hosts[0]
    image = plain.shell(host, "docker", "inspect", "-f", "{{.Image}}", PROXY)
    new = plain.shell(host, "docker", "create", image)
    config = json.loads(plain.shell(host, "docker", "inspect", "-f", "{{json .HostConfig.LogConfig}}", new))
    plain.shell(host, "docker", "rm", new)
    assert config == {"Type": "json-file", "Config": daemon.ROTATION}


def test_security_updates_and_nothing_else_would_install_themselves(plain: Project) -> None:
    said = root(plain, "unattended-upgrade --dry-run --debug 2>&1")
    (allowed,) = re.findall(r"^Allowed origins are: (.*)$", said, re.MULTILINE)
    assert allowed == "origin=Debian,codename=trixie-security,label=Debian-Security"
    assert root(plain, "apt-config dump | grep Automatic-Reboot") == 'Unattended-Upgrade::Automatic-Reboot "false";'


def test_the_deploy_key_does_releases(plain: Project) -> None:
    first = plain.deploy().data["release"]
    done = plain.deploy(image=plain.image("2"))
    second = done.data["release"]
    # The old release was drained, which is asked of the proxy through the tunnel.
    assert "tunnel" not in done.all
    assert httpx.get(plain.url()).json()["release"] == second
    plain.invoke("rollback", "--env", "lab", "--json")
    assert httpx.get(plain.url()).json()["release"] == first
    assert first in plain.invoke("status", "--env", "lab", "--json").out
    assert plain.invoke("exec", "/usr/bin/python3.13 -c print(6*7)", "--env", "lab").out.strip() == "42"
    assert plain.invoke("logs", "--env", "lab", "--tail", "5").out
    assert findings(plain, code=0) == []


def test_the_deploy_key_does_nothing_that_releases_do_not_need(plain: Project) -> None:
    assert "PTY allocation request failed" in ssh(plain, "true", "-tt").stderr
    agent = ssh(plain, "echo ${SSH_AUTH_SOCK:-none}", "-A", prefix=("ssh-agent",))
    assert agent.stdout.strip() == "none"
    screen = ssh(plain, "echo ${DISPLAY:-none}", "-X", prefix=("env", "DISPLAY=:99"))
    assert screen.stdout.strip() == "none"
    assert "administratively prohibited" in ssh(plain, "", "-W", "127.0.0.1:22").stderr
    assert ssh(plain, "true", "-o", "ExitOnForwardFailure=yes", "-R", "9999:127.0.0.1:22").returncode != 0
    assert ssh(plain, "true", "-o", "ExitOnForwardFailure=yes", "-R", "/tmp/in.sock:127.0.0.1:22").returncode != 0


def test_the_deploy_key_reaches_two_sockets_and_no_other(plain: Project) -> None:
    root(plain, "su deploy -c 'ssh-agent -a /home/deploy/other.sock'")

    async def reached(path: str) -> bool:
        async with asyncssh.connect(plain.hosts[0].name, config=str(plain.lab.ssh_config)) as connection:
            try:
                await connection.open_unix_connection(path)
            except asyncssh.ChannelOpenError:
                return False
            return True

    assert asyncio.run(reached("/home/deploy/.portside/proxy/run/admin.sock"))
    assert asyncio.run(reached(keys.ENGINE_SOCKET))
    assert not asyncio.run(reached("/home/deploy/other.sock"))


def test_a_person_may_have_a_terminal_and_tunnels_but_no_agent_there(plain: Project) -> None:
    (step, *_) = bootstrap(plain, "--person")["hosts"][plain.hosts[0].name]
    assert step["step"] == "key_options"
    assert ssh(plain, "tty", "-tt").stdout.startswith("/dev/pts/")
    assert ssh(plain, "", "-W", "127.0.0.1:22").stdout.startswith("SSH-2.0")
    assert ssh(plain, "echo ${SSH_AUTH_SOCK:-none}", "-A", prefix=("ssh-agent",)).stdout.strip() == "none"
    assert bootstrap(plain)["outcome"] == "unchanged"


def set_in_daemon(key: str, value: object) -> str:
    """A script that sets a key of daemon.json, as an editor would."""
    edit = (
        "import json, sys; file, key, value = sys.argv[1:]; there = json.load(open(file)); "
        "there[key] = json.loads(value); json.dump(there, open(file, 'w'))"
    )
    return shlex.join(["python3", "-c", edit, daemon.FILE, key, json.dumps(value)])


# daemon.json as it was before a bootstrap; the lab's own machine may need a cgroup-parent there.
WITHOUT_OURS = shlex.join(
    [
        "python3",
        "-c",
        "import json, sys; there = json.load(open(sys.argv[1])); "
        "json.dump({k: v for k, v in there.items() if k == 'cgroup-parent'}, open(sys.argv[1], 'w'))",
        daemon.FILE,
    ]
)


def live_restore(value: bool) -> str:
    """A script that sets it, and waits until the Engine has it."""
    wanted = str(value).lower()
    ask = "docker info --format '{{.LiveRestoreEnabled}}'"
    taken = f"kill -HUP $(cat /run/docker.pid); until [ $({ask}) = {wanted} ]; do sleep 0.1; done"
    return f"{set_in_daemon(daemon.LIVE_RESTORE, value)}; {taken}"


APT = "/etc/apt/apt.conf.d/99-mine"
KEYS = "/home/deploy/.ssh/authorized_keys"
# What somebody does by hand, and how it is taken back; what the doctor then says.
UNDONE = {
    "setting": (
        f"sed -i.was 's/^MaxAuthTries.*/MaxAuthTries 60/' {sshd.DROP_IN}", f"mv {sshd.DROP_IN}.was {sshd.DROP_IN}",
        "MaxAuthTries is 60",
    ),
    "drop-in": (f"mv {sshd.DROP_IN} /tmp/was", f"mv /tmp/was {sshd.DROP_IN}", f"{sshd.DROP_IN} is missing"),
    "passwords": (
        "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-a.conf", "rm /etc/ssh/sshd_config.d/00-a.conf",
        "PasswordAuthentication is yes, by /etc/ssh/sshd_config.d/00-a.conf",
    ),
    "live-restore": (
        live_restore(False), live_restore(True), "live-restore is off",
    ),
    "userland-proxy": (
        set_in_daemon(daemon.USERLAND_PROXY, True), set_in_daemon(daemon.USERLAND_PROXY, False),
        "userland-proxy is on",
    ),
    "logs": (
        set_in_daemon(daemon.LOG_OPTS, {}), set_in_daemon(daemon.LOG_OPTS, daemon.ROTATION),
        "can fill the disk",
    ),
    "upgrades": (
        f"echo 'APT::Periodic::Unattended-Upgrade \"0\";' >{APT}", f"rm {APT}", "don't install themselves",
    ),
    "reboot": (
        f"echo 'Unattended-Upgrade::Automatic-Reboot \"true\";' >{APT}", f"rm {APT}", "restarts by itself",
    ),
    "restart due": ("touch /run/reboot-required", "rm /run/reboot-required", "waits for a restart"),
    "group": ("usermod -aG sudo deploy", "gpasswd --delete deploy sudo", "in the group sudo"),
    "key": (
        f"cp -p {KEYS} /tmp/keys; echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBob bob@laptop' >>{KEYS}",
        f"cp /tmp/keys {KEYS}", "bob@laptop",
    ),
    "published": (
        f"docker run -d --name open -p 9000:9000 $(docker inspect -f '{{{{.Image}}}}' {PROXY})", "docker rm -f open",
        "open is open to everybody at port 9000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNDONE)
def test_what_somebody_undoes_is_found_and_nothing_else(plain: Project, what: str) -> None:
    undo, redo, words = UNDONE[what]
    root(plain, undo)
    try:
        (finding,) = findings(plain)
    finally:
        root(plain, redo)
    assert words in finding["what"]
    assert finding["where"] == plain.hosts[0].name
    assert finding["remedy"]


def test_an_sshd_that_runs_with_other_settings_than_its_files_is_found(plain: Project) -> None:
    root(
        plain,
        f"cp {sshd.DROP_IN} /tmp/was; sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/' {sshd.DROP_IN}",
    )
    reload_sshd(plain)
    root(plain, f"cp /tmp/was {sshd.DROP_IN}")
    try:
        (finding,) = findings(plain)
    finally:
        reload_sshd(plain)
    assert "though its files say otherwise" in finding["what"]
    assert findings(plain, code=0) == []


def test_a_firewall_that_no_longer_lets_the_service_through_is_found(plain: Project) -> None:
    bootstrap(plain, "--firewall")
    assert findings(plain, code=0) == []
    root(plain, "sed -i.was 's/, 80,/,/' /etc/portside/firewall.nft")
    (finding,) = findings(plain)
    assert "closes port 80" in finding["what"]
    root(plain, "mv /etc/portside/firewall.nft.was /etc/portside/firewall.nft")


def test_a_bootstrap_mends_what_the_doctor_found(plain: Project) -> None:
    serving = root(plain, "docker ps -q | tr '\\n' ' '")
    root(plain, f"rm {sshd.DROP_IN} {upgrades.FILE}; usermod -aG sudo deploy; {WITHOUT_OURS}")
    # An Engine that never had live-restore: what keeps its containers is the reload before the restart.
    root(plain, STOP_ENGINE)
    root(plain, START_ENGINE)
    root(plain, f"docker start {serving}")
    assert plain.shell(plain.hosts[0], "docker", "info", "--format", "{{.LiveRestoreEnabled}}") == "false"
    before = running(plain)
    assert findings(plain)
    done = [step["step"] for step in bootstrap(plain)["hosts"][plain.hosts[0].name]]
    assert done[:4] == ["no_sudo", "daemon", "upgrades", "sshd_settings"]
    assert findings(plain, code=0) == []
    assert running(plain) == before


def test_what_people_set_in_daemon_json_stays_and_is_said(plain: Project) -> None:
    kept = f"cp {daemon.FILE} /tmp/daemon; cp {upgrades.FILE} /tmp/upgrades"
    root(plain, f"{kept}; {set_in_daemon(daemon.LIVE_RESTORE, False)}")
    try:
        said = bootstrap(plain)
        # An upgrade of Docker would now stop every container: it no longer installs itself.
        assert [step["step"] for step in said["hosts"][plain.hosts[0].name]] == ["upgrades", "proxy"]
        assert "live-restore" in said["notes"][0]
        assert bootstrap(plain)["outcome"] == "unchanged"
    finally:
        root(plain, f"cp /tmp/daemon {daemon.FILE}; cp /tmp/upgrades {upgrades.FILE}")


def test_a_drop_in_of_somebody_elses_that_is_broken_stops_us_before_anything_is_changed(plain: Project) -> None:
    root(plain, f"mv {sshd.DROP_IN} /tmp/was; echo Nonsense yes >/etc/ssh/sshd_config.d/99-broken.conf")
    arguments = ("host-bootstrap", "--env", "lab", "--key", f"{plain.lab.key}.pub", "--person")
    try:
        refused = plain.invoke(*arguments, code=4)
        assert "nothing was changed" in refused.err
        assert "99-broken.conf" in refused.err
        assert root(plain, f"ls {sshd.DROP_IN} 2>/dev/null || echo none") == "none"
        # What runs is what ran before: the broken file was never read.
        assert as_deploy(plain, "true") == ""
        assert not opens_to_a_password(plain, "root")
    finally:
        root(plain, f"mv /tmp/was {sshd.DROP_IN}; rm /etc/ssh/sshd_config.d/99-broken.conf")


def test_settings_that_lock_everybody_out_are_taken_away_by_themselves(plain: Project) -> None:
    before = root(plain, f"cat {sshd.DROP_IN}")
    plain.shell(plain.hosts[0], *root_argv("harden", "sshd_settings", "AllowUsers nobody\n", "2", sudo=False))
    assert "Permission denied" in ssh(plain, "true").stderr
    wait_until(lambda: ssh(plain, "true").returncode == 0, what="the deploy user is let in again")
    assert root(plain, f"cat {sshd.DROP_IN}") == before


def test_an_engine_that_does_not_come_up_gets_its_old_settings_back_and_containers_go_on(plain: Project) -> None:
    before, settings = running(plain), root(plain, f"cat {daemon.FILE}")
    bad = json.dumps({**json.loads(settings), "data-root": "/proc/nowhere"})
    known = root(plain, f"sha256sum <{daemon.FILE} | cut -d ' ' -f 1")
    step = root_argv("harden", "daemon", known, "restart", "5", "/var/log/again.log", sudo=False)
    failed = asyncio.run(as_root(plain.hosts[0], step, stdin=bad.encode()))
    assert b"its old one again" in failed.stderr
    assert root(plain, f"cat {daemon.FILE}") == settings
    assert running(plain) == before
