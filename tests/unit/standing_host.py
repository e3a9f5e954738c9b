"""This machine as a host with a proxy: the real scripts in a home folder of their own. Docker is a stand-in, and so is
Caddy's admin API, which keeps what it is told to load."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from portside.fleet import read_states
from portside.host.local import LocalHost
from portside.journal import Operation
from portside.proxy_admin import ADMIN_SOCKET
from portside.release import Release
from portside.steps import Target
from tests.unit import builders

SITE = "links-prod"
ENGINE = r"""#!/bin/sh
case "$1 $2" in
"ps -a") cat "$HOME/containers" ;;
"image inspect")
  case "$*" in
  *" $(cat "$HOME/lacking")") echo "No such image" >&2 && exit 1 ;;
  *json*) echo 'sha256:1 ["links:1"] [] []' ;;
  *) echo sha256:1 ;;
  esac
  ;;
"info --format") printf 'engine 26.1.5\ndocker_root /\ncompose 2.26.1\n' ;;
"pull "*) echo "$3" >>"$HOME/pulled" ;;
"inspect -f") cat "$HOME/inspected" ;;
"compose -p")
  if [ -e "$HOME/broken" ]; then echo "no such volume" >&2 && exit 1; fi
  echo "$3" >>"$HOME/started"
  case "$*" in *--no-recreate*) ;; *) echo "$3" >>"$HOME/renewed" ;; esac
  ;;
esac
"""


class Said:
    """Who is told what happens: keeps it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def phase(self, host: str, phase: str, outcome: str, seconds: float = 0, note: str = "") -> None: ...

    def say(self, text: str) -> None:
        self.lines.append(text)


class StandingHost:
    """`loaded` has the configurations that the proxy was told to load; it refuses them all with `refuses`. `running` is
    the one it runs with."""

    def __init__(self, home: Path) -> None:
        self.host = LocalHost()
        self.base = home / ".portside"
        self.loaded: list[str] = []
        self.running = ""
        self.refuses = False
        self.site = self.base / "sites" / SITE
        (self.site / "lock").mkdir(parents=True)
        (self.site / "releases").mkdir()
        (self.site / "lock/token").write_text("1\n")
        (self.site / "lock/holder.json").write_text('{"owner":"me","operation":"deploy","since":1}\n')
        (self.base / ADMIN_SOCKET).parent.mkdir(parents=True)
        (home / "bin").mkdir()
        (home / "bin/docker").write_text(ENGINE)
        (home / "bin/docker").chmod(0o755)
        (home / "containers").write_text("")
        (home / "inspected").write_text("")
        (home / "lacking").write_text("-")
        self._home = home

    def runs_proxy(self, configuration: str, compose: str = "") -> None:
        self.running = configuration
        running = "|proxy|portside-proxy||caddy|p1|id|running|portside-proxy-caddy-1|caddy:2|Up\n"
        (self._home / "containers").write_text(running)
        (self.base / "proxy/config").mkdir(exist_ok=True)
        (self.base / "proxy/config/caddy.json").write_text(configuration)
        (self.base / "proxy/compose.yaml").write_text(compose)

    def has_accessory(self, name: str, state: str, fingerprint: str) -> None:
        """Brought up once; `state` is "" where its container is gone."""
        line = f"||links-prod-accessories||{name}||id|{state}|links-prod-accessories-{name}-1|{name}:1|Up\n"
        with (self._home / "containers").open("a") as containers:
            containers.write(line if state else "")
        (self.site / "accessories").mkdir()
        (self.site / "accessories/fingerprint").write_text(f"{fingerprint}\n")

    def serves(self, release: Release) -> None:
        folder = self.site / "releases" / release.id
        folder.mkdir()
        (folder / "release.json").write_text(release.model_dump_json() + "\n")
        (self.site / "current.json").write_text(builders.current(release.id).model_dump_json() + "\n")
        (self.base / "proxy/routes" / SITE).mkdir(parents=True, exist_ok=True)
        (self.base / "proxy/routes" / SITE / "route").write_text("blue\n")

    def told(self, targets: str) -> None:
        """What monitoring asks for the site, since a commit."""
        (self.base / "targets").mkdir(exist_ok=True)
        (self.base / "targets" / f"{SITE}.site.json").write_text(targets + "\n")

    def starts_nothing(self) -> None:
        (self._home / "broken").touch()

    def left_behind(self, operation: Operation) -> None:
        """It is committed, its deployer and its container died, and the release before it, `r1`, still runs."""
        (self.site / "journal.jsonl").write_text(builders.entry("retire", "begin", operation).model_dump_json() + "\n")
        current = builders.current(operation.release, operation.slot, operation=operation.id)
        (self.site / "current.json").write_text(current.model_dump_json() + "\n")
        with (self._home / "containers").open("a") as containers:
            containers.write("links-prod||links-prod-blue|r1|web||id|running|links-prod-blue-web-1|links:1|Up\n")
        (self._home / "inspected").write_text("id2 /links-prod-green-web-1 exited none 0\n")

    def lacks(self, image: str) -> None:
        (self._home / "lacking").write_text(image)

    @property
    def pulled(self) -> list[str]:
        pulled = self._home / "pulled"
        return pulled.read_text().split() if pulled.exists() else []

    @property
    def started(self) -> list[str]:
        """Compose projects, in the order in which they were."""
        started = self._home / "started"
        return started.read_text().split() if started.exists() else []

    @property
    def renewed(self) -> list[str]:
        """Of these, those whose containers Compose was free to make anew."""
        renewed = self._home / "renewed"
        return renewed.read_text().split() if renewed.exists() else []

    @property
    def kept(self) -> str:
        return (self.base / "proxy/config/caddy.json").read_text()

    async def target(self) -> Target:
        states = await read_states([self.host], SITE, full=False)
        operation = builders.operation(slot="green", previous_slot="blue")
        return Target(self.host, SITE, "1", states[self.host.name], operation)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_unix_server(self._answer, self.base / ADMIN_SOCKET):
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever only wants to know whether it listens asks nothing.
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            body = (await reader.readexactly(length)).decode()
            status, said = "400 Bad Request" if self.refuses else "200 OK", ""
            if head.startswith("GET /config/"):
                said = self.running
            elif not self.refuses:
                self.loaded.append(body)
                self.running = body
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(said.encode())}\r\nConnection: close\r\n\r\n"
            writer.write(f"{head}{said}".encode())
            await writer.drain()
        writer.close()


def domains(configuration: str) -> list[str]:
    """What the sites of a proxy's configuration are asked by, of plain HTTP."""
    routes = json.loads(configuration)["apps"]["http"]["servers"]["http"]["routes"]
    return [route["match"][0]["host"][0] for route in routes if "match" in route]
