"""The repository's own service on one host, the central stack on another, and somebody who is paged: all of it shipped
by `invoke`, on a clock that may run faster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from portside.lab.values import Lab, LabHost
from tests.lab.fasttime import divided, faster_config, write_faster_rules
from tests.lab.faults import as_root, repair_all
from tests.lab.inbox import Inbox
from tests.lab.project import REPOSITORY, Project, wait_until
from tests.lab.services import links_project
from tests.lab.world import end

ALERTMANAGER = "/home/deploy/.portside/observability/alertmanager/alertmanager.yml"
RECEIVERS = {
    "team": {"kind": "slack", "secret": "env:SLACK_URL"},
    "oncall": {"kind": "pagerduty", "secret": "env:PAGERDUTY_KEY", "severities": ["critical"]},
}
WAITS = ("group_wait", "group_interval", "repeat_interval")
SITE = "links-lab"
DATABASE = f"{SITE}-accessories-postgres-1"
DATABASE_SECONDS = "3"
CONTAINERS = f"docker ps --filter label=dev.portside.site={SITE} --filter label=com.docker.compose.service=web -q"
RATE = 30.0
# A disk of its own, because those of the hosts are this machine's.
DISK = "/mnt/small"
MAKE_DISK = f"""
mkdir -p {DISK}
dd if=/dev/zero of=/var/tmp/small.img bs=1M count=48 status=none
mkfs.ext4 -q /var/tmp/small.img
mount -o loop /var/tmp/small.img {DISK}
"""
REMOVE_DISK = f"if mountpoint -q {DISK}; then umount {DISK}; fi; rm -rf {DISK} /var/tmp/small.img"


@dataclass
class Paged:
    """`factor` says how many times faster rules, scrapes and Alertmanager's waits are than what is shipped."""

    project: Project
    inbox: Inbox
    factor: float
    release: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def central(self) -> LabHost:
        return self.project.lab.hosts[0]

    @property
    def host(self) -> LabHost:
        return self.project.hosts[0]

    @property
    def labels(self) -> dict[str, str]:
        return {"service": "links", "env": "lab", "host": self.host.name, "release": self.release}

    def start(self) -> None:
        """The stack, then the service with its agent; the clock; nobody is paged for any of it."""
        variables = {"SLACK_URL": f"{self.inbox.address}/slack", "PAGERDUTY_KEY": "routing-key"}
        self.project.invoke("observe", "--json", variables=variables)
        self.release = self.project.invoke("deploy", "--env", "lab", "--json", variables=variables).data["release"]
        self._hurry()

    def _hurry(self) -> None:
        """Alertmanager's waits divided, and PagerDuty at the inbox: the only two things that users don't have so."""
        data = yaml.safe_load(self.shell(self.central, f"cat {ALERTMANAGER}"))
        _divide_waits(data["route"], self.factor)
        for receiver in data["receivers"]:
            for pagerduty in receiver.get("pagerduty_configs", []):
                pagerduty["url"] = f"{self.inbox.address}/pagerduty"
        argv = ["tee", ALERTMANAGER]
        asyncio.run(as_root(self.central, argv, stdin=yaml.safe_dump(data).encode())).check()
        self.shell(self.central, "docker kill --signal HUP portside-observability-alertmanager-1")

    def shell(self, host: LabHost, script: str) -> str:
        return asyncio.run(as_root(host, ["bash", "-euc", script])).check().text

    def page(self, alert: str, *, since: float, within: float) -> dict[str, Any]:
        """The Slack message of this host's alert that began after `since` (monotonic); remembers how long it took."""

        def arrived() -> dict[str, Any] | None:
            for message in self.inbox.at("/slack", since):
                (attachment,) = message["attachments"]
                of_this_host = f" {alert}:" in attachment["title"] and self.host.name in attachment["text"]
                if of_this_host and attachment["color"] != "good":
                    return dict(attachment)
            return None

        found: dict[str, Any] = self._wait(arrived, within, f"Slack hears of {alert}")
        self.seconds[alert] = time.monotonic() - since
        return found

    def event(self, alert: str, action: str, *, since: float, within: float) -> dict[str, Any]:
        """PagerDuty's event of an alert, "trigger" or "resolve"."""

        def arrived() -> dict[str, Any] | None:
            for event in self.inbox.at("/pagerduty", since):
                payload = event.get("payload", {})
                if event["event_action"] == action and payload.get("class") == alert:
                    return dict(event)
            return None

        found: dict[str, Any] = self._wait(arrived, within, f"PagerDuty's {action} of {alert}")
        return found

    def over(self, alert: str, *, since: float, within: float) -> None:
        """Wait until Slack is told that it is over."""

        def arrived() -> bool:
            return any(
                attachment["title"].startswith(f"RESOLVED {alert}:") and self.host.name in attachment["text"]
                for message in self.inbox.at("/slack", since)
                for attachment in message["attachments"]
            )

        self._wait(arrived, within, f"Slack hears that {alert} is over")

    def _titles(self, since: float) -> list[str]:
        return [message["attachments"][0]["title"] for message in self.inbox.at("/slack", since)]

    def _wait(self, arrived: Callable[[], Any], within: float, what: str) -> Any:
        began = time.monotonic()
        try:
            return wait_until(arrived, seconds=within, what=what)
        except AssertionError as error:
            url = f"http://{self.central.address}:9090/api/v1/alerts"
            alerts = [
                f"{each['state']} {each['labels']}" for each in httpx.get(url, trust_env=False).json()["data"]["alerts"]
            ]
            told = "\n".join([*self._titles(began), "Prometheus:", *alerts])
            raise AssertionError(f"{error}\nSlack was told meanwhile:\n{told}") from None

    # What goes wrong. Each is in force while the block runs.

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Every request that needs the links fails, and the service calls itself ready."""
        self._sql("ALTER TABLE links RENAME TO links_gone")
        try:
            yield
        finally:
            self._sql("ALTER TABLE links_gone RENAME TO links")

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """One request in 30 waits for a database that is frozen now and then: a warning, and too few for a page."""
        script = f"""
            while [ -e /run/slow ]; do docker pause {DATABASE}; sleep 0.7; docker unpause {DATABASE}; sleep 7; done
        """
        self.shell(self.host, "touch /run/slow")
        process = self._background(["docker", "exec", self.host.name, "bash", "-c", script])
        try:
            yield
        finally:
            self.shell(self.host, "rm /run/slow")
            process.wait(20)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Every core of the machine has something to do."""
        processes = [
            self._background([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
        ]
        try:
            yield
        finally:
            for process in processes:
                end(process)

    def kill_workers(self, times: int) -> None:
        """One Gunicorn worker after the other, with SIGKILL; the master starts new ones."""
        self.shell(
            self.host,
            f"""
            name=$({CONTAINERS} | head -n 1)
            init=$(docker inspect -f '{{{{.State.Pid}}}}' "$name")
            read -r master _ <"/proc/$init/task/$init/children" || true
            for _ in $(seq {times}); do
              # The list ends without a newline, which read calls a failure.
              read -r worker _ <"/proc/$master/task/$master/children" || true
              kill -9 "$worker"
              sleep 2
            done
            """,
        )

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """One of the host's disks has no room left."""
        self.shell(self.host, f"fallocate -l 44M {DISK}/file || head -c 44M /dev/zero >{DISK}/file || true")
        try:
            yield
        finally:
            self.shell(self.host, f"rm -f {DISK}/file")

    @contextlib.contextmanager
    def stopped(self, pattern: str) -> Iterator[None]:
        """Containers whose name begins with `pattern` are stopped as `docker stop` does it."""
        names = self.shell(self.host, f"docker ps --format '{{{{.Names}}}}' | grep ^{pattern}").split()
        self.shell(self.host, f"docker stop {' '.join(names)}")
        try:
            yield
        finally:
            self.shell(self.host, f"docker start {' '.join(names)}")

    def _sql(self, statement: str) -> None:
        self.shell(self.host, f"docker exec {DATABASE} psql --quiet -U links -d links -c '{statement}'")

    def _background(self, argv: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def paged(root: Path, lab: Lab, *, factor: float) -> Iterator[Paged]:
    """The whole of it under a steady load, up and quiet."""
    asyncio.run(repair_all(lab))
    inbox = Inbox(lab.gateway)
    project = links_project(root, lab, lab.hosts[1])
    project.environment["env"]["DATABASE_TIMEOUT"] = DATABASE_SECONDS
    project.observe = {
        "host": lab.hosts[0].name,
        "ssh_config": str(lab.ssh_config),
        "prometheus": "0.0.0.0:9090",
        "ingest": "0.0.0.0:9443",
        "ingest_address": f"{lab.hosts[0].address}:9443",
        "receivers": RECEIVERS,
    }
    _ship_clock(root, factor)
    world = Paged(project, inbox, factor)
    with contextlib.ExitStack() as stack:
        stack.callback(inbox.close)
        stack.callback(world.shell, world.host, REMOVE_DISK)
        world.shell(world.host, REMOVE_DISK + MAKE_DISK)
        world.start()
        load = [sys.executable, "-m", "portside.load", project.url(), f"--rate={RATE:g}", "--seconds=3600"]
        with (root / "load.log").open("wb") as log:
            stack.callback(end, subprocess.Popen(load, cwd=REPOSITORY, stdout=log, stderr=log))
        yield world


def _ship_clock(root: Path, factor: float) -> None:
    """The tree's monitoring files in the project, with every duration divided."""
    source, target = REPOSITORY / "observability", root / "observability"
    shutil.copytree(source, target, dirs_exist_ok=True)
    if factor == 1:
        return
    write_faster_rules(source / "prometheus/rules", target / "prometheus/rules", factor)
    for name in ("prometheus/prometheus.yml", "agent/prometheus-agent.yml"):
        (target / name).write_text(faster_config((source / name).read_text(), factor))


def _divide_waits(route: dict[str, Any], factor: float) -> None:
    for name in WAITS:
        if name in route:
            route[name] = divided(route[name], factor)
    for each in route.get("routes", []):
        _divide_waits(each, factor)
