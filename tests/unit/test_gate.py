"""The readiness question that a host's gate asks, as the host asks it: at real ports, good and bad."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path

import pytest

from tests.unit.test_markers import Machine

GATE = (files("portside.host") / "scripts/gate.sh").read_text()
# As in a step: every failure ends the script, the work lock is open as 9, and leaving it does what gate() trapped.
ASK = f"""set -euo pipefail
{GATE}
exec 9>"$4"
flock 9
trap 'echo left' EXIT
code=0
ready "$1" "$2" "$3" "${{5:-}}" 2>/dev/null || code=$?
exec 9>&-
flock -w 20 "$4" true && echo "free"
echo "$code"
printf '%s\n' "$heard" "$answer" >&2
"""
# The whole gate, of one container at 127.0.0.1 that the Engine's stand-in says is as $1.
LIBRARY = (files("portside.host") / "scripts/lib.sh").read_text()
ENGINE = """#!/bin/sh
case "$*" in
inspect*Networks*) echo "c1 /web-1 $(cat "$HOME/is") 0 127.0.0.1" ;;
logs*) echo "all is well" ;;
esac
"""


def asked(lock: str, port: int, path: str = "/readiness") -> int:
    """What `ready` says of a port, long before the two minutes after which the kernel gives a connection up."""
    return question(lock, port, path)[0]


def question(lock: str, port: int, path: str = "/readiness", *more: str) -> tuple[int, str, str]:
    """As `asked`, with what it heard instead of a good answer, and what that said."""
    done = subprocess.run(
        ["bash", "-c", ASK, "gate", "127.0.0.1", str(port), path, lock, *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    heard, answer = done.stderr.splitlines()
    free, code, left = done.stdout.split()
    assert (free, left) == ("free", "left"), "no question that was given up keeps the lock, and none ran the trap"
    return int(code), heard, answer


def gated(home: Path, port: int, status: str = "running healthy", path: str = "/readiness") -> list[str]:
    """The lines with which the gate of a start fails, once its deadline is there."""
    machine = Machine(home)
    (home / "bin/docker").write_text(ENGINE)
    (home / "is").write_text(status)
    done = subprocess.run(
        ["bash", "-c", f'{LIBRARY}\n{GATE}\ngate 1 1 "$1" "$2" c1', "gate", "links-prod", str(port), path],
        env={"HOME": str(machine.home), "PATH": f"{home}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 75, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


@contextmanager
def answering(status: int, body: bytes = b"", length: str = "") -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readiness" else 404)
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def dropping() -> Iterator[int]:
    """A port whose queue is full: the kernel answers no further connection, as where packets are dropped."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        time.sleep(0.05)
        yield server.getsockname()[1]


def hang_up(server: socket.socket) -> None:
    server.accept()[0].close()


@pytest.fixture
def lock(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("gate") / "work.lock")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 0), (302, 1), (503, 1), (500, 1)])
def test_only_2xx_is_ready(lock: str, status: int, code: int) -> None:
    with answering(status) as port:
        assert asked(lock, port) == code


def test_the_path_is_asked_for(lock: str) -> None:
    with answering(200) as port:
        assert asked(lock, port, "/elsewhere") == 1


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_refuses_isn_t_waited_for(lock: str) -> None:
    port = closed_port()
    assert question(lock, port) == (1, f"nothing listens on port {port}", "")


def test_a_wrong_path_is_told_from_a_wrong_port(lock: str) -> None:
    with answering(200) as port:
        assert question(lock, port, "/readyz") == (1, f"GET /readyz on port {port} answers 404", "")


def test_a_short_answer_is_told_where_it_is_wanted(lock: str) -> None:
    body = '{"checks":\n"the database is away \u2026"}'.encode()
    with answering(503, body) as port:
        assert question(lock, port)[2] == ""
        assert question(lock, port, "/readiness", "answer")[2] == body.decode().replace("\n", " ")


@pytest.mark.parametrize(("body", "length"), [(b"x" * 501, ""), (b"", "")])
def test_a_long_answer_is_left_where_it_is(lock: str, body: bytes, length: str) -> None:
    with answering(503, body, length) as port:
        assert question(lock, port, "/readiness", "answer") == (1, f"GET /readiness on port {port} answers 503", "")


@pytest.mark.parametrize("length", ["many", "-1", "99"])
def test_an_answer_that_is_not_what_it_says_holds_nobody_up(lock: str, length: str) -> None:
    with answering(503, b"away", length) as port:
        assert question(lock, port, "/readiness", "answer")[1] == f"GET /readiness on port {port} answers 503"


def test_what_was_waited_for_is_named_with_what_it_answered(tmp_path: Path) -> None:
    with answering(503, b"no database") as port:
        said = gated(tmp_path, port, "running starting")
    assert said[-2:] == [
        "--- answer of web-1: no database",
        f"not ready in time: web-1: running, health starting; web-1: GET /readiness on port {port} answers 503",
    ]


def test_a_port_where_nothing_listens_is_named(tmp_path: Path) -> None:
    port = closed_port()
    assert gated(tmp_path, port)[-1] == f"not ready in time: web-1: nothing listens on port {port}"


def test_a_release_that_is_not_fit_to_serve_alone_is_told_by_what_it_answers(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "bin/docker").write_text(f"{ENGINE}[ \"$1\" != ps ] || echo 'c1 web'\n")
    (tmp_path / "is").write_text("running healthy")
    with answering(503) as port:
        done = subprocess.run(
            ["bash", "-c", f'{LIBRARY}\n{GATE}\nunfit_now green r2 "$1" /readiness', "retire", "links-prod", str(port)],
            env={"HOME": str(machine.home), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert done.stdout == f"container web-1: GET /readiness on port {port} answers 503\n"


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["takes no connection", "never answers", "hangs up"])
def test_a_port_that_does_nothing_is_given_up(lock: str, bad: str) -> None:
    with ExitStack() as stack:
        if bad == "takes no connection":
            port = stack.enter_context(dropping())
        else:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = silent.getsockname()[1]
            if bad == "hangs up":
                threading.Thread(target=hang_up, args=(silent,), daemon=True).start()
        code = asked(lock, port)
    assert code == (1 if bad == "hangs up" else 2)
