"""A project as a user has one, in a folder of its own: the tiny service, its portside.toml, `invoke` run for real."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portside.lab.values import Lab, LabHost
from tests.lab.faults import as_root
from tests.toml import text

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny"
COMMAND_SECONDS = 180
# What a before-switch hook that does nothing runs, in a web service whose entrypoint is Python.
MIGRATES = ["-c", "print('migrated')"]
# A shell starts background jobs deaf to Ctrl-C, and so would be all that a test run in one starts.
INTERRUPTIBLE = ("env", "--default-signal=INT")

SERVICE = {"name": "tiny", "readiness": "/readiness", "port": 8000}
ENVIRONMENT: dict[str, Any] = {
    "http": "0.0.0.0:80",
    "bake": 0,
    "start_deadline": 20,
    "drain_deadline": 10,
    "env": {"GREETING": "hello"},
    # The lab's hosts are for releases; tests/lab/test_hardening.py has one that is set up as production is.
    "harden": False,
}


@dataclass(frozen=True)
class Finished:
    """How an `invoke` command ended. `data` is its last line of standard output as JSON, where there is one."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass
class Project:
    """The folder, and what its portside.toml says. `service` and `environment` are written before every command.

    `variables` are every command's, beside those of this process.
    """

    root: Path
    lab: Lab
    hosts: tuple[LabHost, ...]
    service: dict[str, Any] = field(default_factory=lambda: dict(SERVICE))
    environment: dict[str, Any] = field(default_factory=lambda: dict(ENVIRONMENT))
    images: dict[str, str] = field(default_factory=dict)
    observe: dict[str, Any] = field(default_factory=dict)
    judge: dict[str, Any] = field(default_factory=dict)
    scan: dict[str, Any] = field(default_factory=dict)
    signing: dict[str, Any] = field(default_factory=dict)
    notify: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def invoke(self, *arguments: str, code: int | None = 0, variables: Mapping[str, str] | None = None) -> Finished:
        """Run `invoke …` to its end, and insist on its exit code unless `code` is None."""
        process = self.start(*arguments, variables=variables)
        out, err = process.communicate(timeout=COMMAND_SECONDS)
        finished = Finished(process.returncode, out, err)
        if code is not None:
            assert finished.code == code, f"invoke {' '.join(arguments)} → {finished.code}\n{finished.all}"
        return finished

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `invoke …` in a session of its own."""
        self.write()
        return subprocess.Popen(
            [*INTERRUPTIBLE, sys.executable, "-m", "invoke", "--search-root", str(REPOSITORY), *arguments],
            cwd=self.root,
            env={**os.environ, **self.variables, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def deploy(self, *arguments: str, image: str | None = None, code: int | None = 0) -> Finished:
        return self.invoke("deploy", "--env", "lab", "--json", "--image", image or self.image(), *arguments, code=code)

    def image(self, version: str = "1") -> str:
        """Build a version of the tiny service, which differs from the others in its last layer."""
        if version not in self.images:
            shutil.copy(TINY / "service.py", self.root / "service.py")
            with (self.root / "service.py").open("a") as file:
                file.write(f"\n# version {version}\n")
            self.images[version] = self.invoke("build", "--json").data["image"]
        return self.images[version]

    def write(self) -> None:
        environment = {
            "hosts": [host.name for host in self.hosts],
            "ssh_config": str(self.lab.ssh_config),
            **self.environment,
        }
        observe = f"[observe]\n{_table(self.observe)}\n" if self.observe else ""
        observe += f"[judge]\n{_table(self.judge)}\n" if self.judge else ""
        observe += f"[signing]\n{_table(self.signing)}\n" if self.signing else ""
        observe += f"[scan]\n{_table(self.scan)}\n" if self.scan else ""
        notify = "".join(f"[notify.{name}]\n{_table(block)}\n" for name, block in self.notify.items())
        (self.root / "portside.toml").write_text(
            f"[service]\n{_table(self.service)}\n{observe}{notify}[env.lab]\n{_table(environment)}\n"
        )

    def url(self, host: LabHost | None = None) -> str:
        return f"http://{(host or self.hosts[0]).address}"

    def site(self, name: str) -> str:
        """The path of something of this site on a host."""
        return f"/home/deploy/.portside/sites/tiny-lab/{name}"

    def shell(self, host: LabHost, *argv: str) -> str:
        """Run a command as root on a host; its output."""
        return asyncio.run(as_root(host, list(argv))).check().text

    def locked(self, host: LabHost) -> bool:
        """Whether somebody holds the site's lock there."""
        return "holder" in self.shell(host, "ls", self.site("lock"))

    def with_configs(self) -> None:
        """The web service gets ./rules.txt, beside its Compose file, as /etc/rules."""
        compose = self.root / "compose/app.yaml"
        service = "  web:\n    configs: [{ source: rules, target: /etc/rules }]\n"
        text = compose.read_text().replace("  web:\n", service)
        compose.write_text(f"{text}configs: {{ rules: {{ file: ./rules.txt }} }}\n")

    def containers(self, host: LabHost) -> list[str]:
        """Names of the running containers of the site."""
        listing = self.shell(
            host, "docker", "ps", "--filter", "label=dev.portside.site=tiny-lab", "--format", "{{.Names}}"
        )
        return sorted(listing.split())


def new_project(root: Path, lab: Lab, hosts: tuple[LabHost, ...], images: dict[str, str]) -> Project:
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "compose/proxy.yaml", root / "compose/proxy.yaml")
    return Project(root, lab, hosts, images=images)


def ships_in_all_phases(project: Project) -> None:
    """Every phase happens: there is a hook, a bake, and something to retire."""
    project.service["before_switch"] = MIGRATES
    compose = project.root / "compose/app.yaml"
    commanded = '  web:\n    entrypoint: ["/usr/bin/python3.13"]\n    command: ["service.py"]\n'
    compose.write_text(compose.read_text().replace("  web:\n", commanded))
    project.environment["bake"] = 1


def wait_until(condition: Any, *, seconds: float = 20, what: str = "") -> Any:
    """Poll until `condition()` is true; its value. To look at a host four times a second takes half a processor."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def _table(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{text(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str | Path):
        return text(str(value))
    return json.dumps(value)
