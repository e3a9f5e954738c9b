"""A service under load and all that watches it, for real: exporters, proxy, agent, Prometheus with the rules.

Programs come out of Debian packages (portside/tools.py) and run on this machine. Their configuration is what is
shipped; only names of containers become ports of this machine, and intervals a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from portside import markers, steps
from portside.alerting.objectives import objectives
from portside.config import Slo
from portside.image.bases import ensure_image
from portside.journal import Kind
from portside.observe.versions import versions
from portside.proxy import Door, with_site
from portside.release import Slot
from portside.tools import Tool, ensure_tool
from tests.lab.faults import pause_container
from tests.lab.loki import Loki, NoImageError, image, running_loki
from tests.lab.project import wait_until
from tests.lab.servers import Postgres
from tests.lab.watched import Watched
from tests.unit import builders
from tests.unit.test_markers import Machine

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "observability"

PROMETHEUS = Tool("prometheus", "prometheus", (3, 5))
NODE_EXPORTER = Tool("prometheus-node-exporter", "prometheus-node-exporter", (1, 9))
BLACKBOX = Tool("prometheus-blackbox-exporter", "prometheus-blackbox-exporter", (0, 26))
CADDY_IMAGE = "caddy:2.11.7"

SERVICE, ENV, HOST = "links", "prod", "web-1"
SITE = {"service": SERVICE, "env": ENV}
# Behind a certificate, which is watched as well.
DOMAIN = "localhost"
REACHED: dict[str, Any] = {"domain": DOMAIN, "http": "0.0.0.0:80", "https": "0.0.0.0:443", "tls": "internal"}
OLD, NEW, UNDONE = "20261123-154501-aaaaaa", "20261123-154502-bbbbbb", "20261123-154503-cccccc"
UP_SECONDS = 30.0
# Rules over rules over rates: some rounds of a second each.
RULES_SECONDS = 60.0
LOAD_SECONDS = 12.0
DATABASE_HANGS = 4.0
# Whom the configurations call how. What isn't started is down, as on a machine that lacks its image.
NAMES = {
    "node": "node",
    "portside-agent-blackbox-1": "blackbox",
    "portside-agent-cadvisor-1": "cadvisor",
    "portside-agent-alloy-1": "alloy",
    "portside-proxy-caddy-1": "caddy",
    "alertmanager": "alertmanager",
    "loki": "loki",
    "grafana": "grafana",
    "ingest": "ingest",
}
NOBODY = "127.0.0.1:1"
DOCKER_SOCKET = "/var/run/docker.sock"


@contextlib.contextmanager
def lived(home: Path, postgres: Postgres, database: str) -> Iterator[Watched]:
    """Two releases of a service, one after the other, under load and with mishaps; then what Prometheus knows."""
    with contextlib.ExitStack() as stack:
        world = World(home, stack)
        begun = time.time()
        world.start_services(database)
        world.start_proxy()
        world.start_monitoring()
        watched = Watched(world.url("prometheus"), world.loki.url if world.loki else None, begun)
        world.live(postgres)
        wait_until(
            lambda: watched.now("slo:latency:budget_remaining_ratio"), seconds=RULES_SECONDS, what="rules give a budget"
        )
        yield watched


class World:
    """What is watched and what watches. Everything it starts ends with `stack`; logs are in `home`."""

    def __init__(self, home: Path, stack: contextlib.ExitStack) -> None:
        self._home = home
        self._stack = stack
        self._ports: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._containers: dict[str, str] = {}
        self.loki: Loki | None = None
        (home / "host").mkdir()
        self._machine = Machine(home / "host")
        self._shared = home / "host" / ".portside"

    def url(self, name: str) -> str:
        return f"http://{self.address(name)}"

    def address(self, name: str) -> str:
        """Where a component listens, decided when it is first asked for."""
        if name not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[name] = probe.getsockname()[1]
        return f"127.0.0.1:{self._ports[name]}"

    def start_services(self, database: str) -> None:
        """Both releases on one database, as the image starts them."""
        settings = {"DATABASE_URL": database, "APP_SERVICE": SERVICE, "APP_ENV": ENV, "DATABASE_TIMEOUT": "2"}
        self._run("migrate", [sys.executable, "-m", "app.migrate"], settings)
        for release in (OLD, NEW):
            (self._home / release).mkdir()
            own = {
                "APP_RELEASE": release,
                "PORT": self.address(release).rpartition(":")[2],
                "WEB_CONCURRENCY": "2",
                "TMPDIR": str(self._home / release),
            }
            argv = [sys.executable, "-m", "app.web", "-c", "app/gunicorn.conf.py", "app.asgi:app"]
            self._start(release, argv, {**settings, **own})
        for release in (OLD, NEW):
            self._wait_for(f"{self.url(release)}/readiness")

    def start_proxy(self) -> None:
        """The proxy with the site's own route to the new release, in a container on this machine's network."""
        port = int(self.address(NEW).rpartition(":")[2])
        config = builders.config(**REACHED)
        config = config.model_copy(update={"service": config.service.model_copy(update={"port": port})})
        door = Door("web", port, "/readiness")
        site = with_site("", config, config.environment(ENV), 1, {"blue": door, "green": door})
        data = json.loads(site)
        servers = data["apps"]["http"]["servers"]
        del servers["http"]
        servers["https"]["listen"] = [self.address("site")]
        servers["metrics"]["listen"] = [self.address("caddy")]
        routes = self._home / "caddy/routes" / f"{SERVICE}-{ENV}"
        routes.mkdir(parents=True)
        (routes / "route").write_text("green")
        (self._home / "caddy/caddy.json").write_text(json.dumps(data))
        self._start_container(
            "caddy",
            CADDY_IMAGE,
            *("caddy", "run", "--config", "/etc/caddy/caddy.json"),
            options=(
                *(f"--add-host={SERVICE}-{ENV}-{slot}-web-1:127.0.0.1" for slot in ("blue", "green")),
                f"--volume={self._home}/caddy/routes:/routes:ro",
                "--tmpfs=/run/portside",
            ),
        )

    def start_monitoring(self) -> None:
        """The agent set and the central Prometheus, with what is shipped for them."""
        for folder in ("metrics", "targets"):
            (self._shared / folder).mkdir(parents=True, exist_ok=True)
        node = yaml.safe_load((OBSERVABILITY / "agent.yaml").read_text())["services"]["node"]["command"]
        collectors = [flag.replace("$$", "$") for flag in node if flag.startswith("--collector.")]
        textfiles = f"--collector.textfile.directory={self._shared}/metrics"
        self._start_tool("node", NODE_EXPORTER, *collectors, textfiles)
        self._start_tool("blackbox", BLACKBOX, f"--config.file={OBSERVABILITY}/agent/blackbox.yml")
        self._start_exporters_of_containers()
        (self._home / "alertmanager").mkdir()
        nobody = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
        (self._home / "alertmanager/alertmanager.yml").write_text(yaml.safe_dump(nobody))
        # Debian's program wants its templates below /usr: it only runs in its image.
        self._start_container(
            "alertmanager",
            versions(ROOT)["ALERTMANAGER_IMAGE"],
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            "--cluster.listen-address=",
            f"--web.listen-address={self.address('alertmanager')}",
        )
        self._start_loki()

        central = self._configuration("prometheus", OBSERVABILITY / "prometheus/prometheus.yml")
        stored = f"--storage.tsdb.path={self._home}/tsdb"
        self._start_tool("prometheus", PROMETHEUS, central, stored, "--web.enable-remote-write-receiver")
        agent = self._configuration("agent", OBSERVABILITY / "agent/prometheus-agent.yml")
        self._start_tool("agent", PROMETHEUS, agent, "--agent", f"--storage.agent.path={self._home}/wal")

    def _start_loki(self) -> None:
        (self._home / "loki").mkdir()
        port = int(self.address("loki").rpartition(":")[2])
        running = running_loki(
            self._home / "loki", self.url("alertmanager"), rules=OBSERVABILITY / "loki/rules", port=port, retention="7d"
        )
        try:
            self.loki = self._stack.enter_context(running)
        except pytest.skip.Exception:
            del self._ports["loki"]

    def _start_exporters_of_containers(self) -> None:
        """cAdvisor and Alloy, where their images can be had."""
        socket_mount = f"--volume={DOCKER_SOCKET}:{DOCKER_SOCKET}:ro"
        flags = yaml.safe_load((OBSERVABILITY / "agent.yaml").read_text())["services"]["cadvisor"]["command"]
        folders = ("/:/rootfs:ro", "/sys:/sys:ro", "/var/lib/docker:/var/lib/docker:ro")
        port = self.address("cadvisor").rpartition(":")[2]
        self._start_if_there(
            "cadvisor",
            *(flag for flag in flags if not flag.startswith("--port=")),
            *("--listen_ip=127.0.0.1", f"--port={port}"),
            options=(socket_mount, *(f"--volume={folder}" for folder in folders)),
        )
        told = {"PORTSIDE_HOST": HOST, "PORTSIDE_ENV": ENV, "DOCKER_PROXY": f"unix://{DOCKER_SOCKET}"}
        self._start_if_there(
            "alloy",
            *("run", "/etc/shipped/config.alloy", "--disable-reporting", "--storage.path=/tmp/alloy"),
            f"--server.http.listen-addr={self.address('alloy')}",
            options=(
                *(socket_mount, f"--volume={OBSERVABILITY}/alloy:/etc/shipped:ro"),
                *(f"--env={name}={value}" for name, value in told.items()),
            ),
        )

    def _start_if_there(self, name: str, *argv: str, options: tuple[str, ...]) -> None:
        try:
            reference = image(f"{name.upper()}_IMAGE")
        except NoImageError:
            del self._ports[name]
            return
        (self._home / name).mkdir()
        self._start_container(name, reference, *argv, options=options)

    def live(self, postgres: Postgres) -> None:
        """A release, the next one, load on each; then a worker dies, the database hangs, a third release is undone."""
        self._commit(OLD, "blue", "deploy")
        self._load(self.url(OLD))
        self._commit(NEW, "green", "deploy")
        os.kill(self._a_worker_of(NEW), signal.SIGKILL)
        self._load(self.url(NEW), postgres)
        if "cadvisor" in self._ports:
            _docker("restart", self._containers["caddy"])
        if self.loki:
            lines = (self._home / f"{NEW}.log").read_text().splitlines()
            streams = {**SITE, "host": HOST, "container": f"{SERVICE}-{ENV}-green-web-1"}
            self.loki.push(streams, lines).raise_for_status()
        undone = builders.operation("op-3", release=UNDONE, previous=None, **SITE)
        self._machine.run(steps.undo(undone, "it made the service worse", grace=1))

    def _commit(self, release: str, slot: Slot, kind: Kind) -> None:
        """What a host does at the commit point, by the scripts that do it there."""
        operation = builders.operation(f"op-{release}", release=release, slot=slot, kind=kind, **SITE)
        previous = OLD if release == NEW else None
        current = builders.current(release, slot, committed=datetime.now(UTC), previous=previous)
        config = builders.config(**REACHED)
        told = markers.marks(
            builders.release(release),
            operation,
            current,
            f"deploy@{HOST}",
            config=config,
            environment=config.environment("prod"),
        )
        here = replace(
            told,
            targets=_moved(told.targets, self.address(release)),
            site=_moved(told.site, f"https://{DOMAIN}:{self.address('site').rpartition(':')[2]}/links"),
        )
        self._machine.run(steps.commit(operation, current, here))

    def _load(self, url: str, hanging: Postgres | None = None) -> None:
        """Links made and followed, and pages that are there and that aren't. Then whatever else was done to it."""
        argv = [sys.executable, "-m", "portside.load", url, f"--seconds={LOAD_SECONDS:g}"]
        paths = ("/links", "/links?limit=5", "/links/unknown", "/no/such/page", "/docs")
        loads = [
            self._start("load", [*argv, "--rate=40"], {}),
            self._start("pages", [*argv, "--rate=40", *(f"--get={path}" for path in paths)], {}),
        ]
        if hanging:
            time.sleep(LOAD_SECONDS / 4)
            asyncio.run(pause_container(hanging.container))
            try:
                time.sleep(DATABASE_HANGS)
            finally:
                _docker("unpause", hanging.container)
        for load in loads:
            assert load.wait(LOAD_SECONDS + UP_SECONDS) == 0

    def _a_worker_of(self, release: str) -> int:
        pid = self._processes[release].pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _configuration(self, name: str, file: Path) -> str:
        """The option that names a shipped configuration with this machine's addresses, and each interval a second."""
        config: dict[str, Any] = self._here(name, yaml.safe_load(file.read_text()))
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
        for job in config["scrape_configs"]:
            job.pop("scrape_interval", None)
        if name == "prometheus":
            config["global"]["evaluation_interval"] = "1s"
            config["rule_files"] = [f"{self._rules()}/*.yml"]
        else:
            config["remote_write"] = [{"url": f"{self.url('prometheus')}/api/v1/write"}]
        path = self._home / f"{name}.yml"
        path.write_text(yaml.safe_dump(config))
        return f"--config.file={path}"

    def _here(self, itself: str, value: Any) -> Any:
        """`value` with container names and mounted folders replaced by what they are on this machine."""
        if isinstance(value, dict):
            return {key: self._here(itself, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._here(itself, inner) for inner in value]
        if isinstance(value, str) and value.startswith("/targets/"):
            return f"{self._shared}{value}"
        found = re.fullmatch(r"([a-z][\w.-]*):\d+", str(value))
        if not found:
            return value
        name = {"localhost": itself, **NAMES}.get(found[1])
        assert name, f"{value} in the configuration of {itself}: whose address is it here?"
        return self.address(name) if name in (itself, *self._ports) else NOBODY

    def _rules(self) -> Path:
        folder = self._home / "rules"
        folder.mkdir()
        for name, groups in rules().items():
            for group in groups:
                group.pop("interval", None)
            (folder / name).write_text(yaml.safe_dump({"groups": groups}))
        return folder

    def _start_tool(self, name: str, tool: Tool, *flags: str) -> None:
        program = asyncio.run(ensure_tool(tool, print))
        argv = [str(program), f"--web.listen-address={self.address(name)}", *flags]
        self._start(name, argv, {"PORTSIDE_HOST": HOST, "PORTSIDE_ENV": ENV})
        self._wait_for(f"{self.url(name)}/metrics")

    def _start_container(self, name: str, reference: str, *argv: str, options: tuple[str, ...] = ()) -> None:
        """On this machine's network, with the folder `name` of this world as /etc/`name`."""
        asyncio.run(ensure_image(reference, say=print))
        container = self._containers[name] = f"watched-{name}-{os.getpid()}"
        self._stack.callback(_docker, "rm", "--force", "--volumes", container)
        shared = ("--network=host", "--memory=512m", f"--volume={self._home}/{name}:/etc/{name}:ro")
        _docker("run", "--detach", f"--name={container}", *shared, *options, reference, *argv)
        self._wait_for(f"{self.url(name)}/metrics")

    def _start(self, name: str, argv: list[str], settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
        with (self._home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self._stack.callback(end, process)
        self._processes[name] = process
        return process

    def _run(self, name: str, argv: list[str], settings: Mapping[str, str]) -> None:
        process = self._start(name, argv, settings)
        assert process.wait(UP_SECONDS) == 0, (self._home / f"{name}.log").read_text()

    def _wait_for(self, url: str) -> None:
        wait_until(lambda: _answers(url), seconds=UP_SECONDS, what=f"{url} answers; logs are in {self._home}")


def rules() -> dict[str, list[dict[str, Any]]]:
    """The groups of every rules file that the central Prometheus gets."""
    files = {file.name: file.read_text() for file in sorted((OBSERVABILITY / "prometheus/rules").glob("*.yml"))}
    files["objectives.yml"] = objectives(Slo())
    return {name: yaml.safe_load(text)["groups"] for name, text in files.items()}


def _moved(file_sd: str, address: str) -> str:
    (group,) = json.loads(file_sd)
    return json.dumps([{**group, "targets": [address]}])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL for one that doesn't mind it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
