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

import pytest

GATE = (files("portside.host") / "scripts/gate.sh").read_text()
# As in a step: every failure ends the script, the work lock is open as 9, and leaving it does what gate() trapped.
ASK = f"""set -euo pipefail
{GATE}
exec 9>"$4"
flock 9
trap 'echo left' EXIT
code=0
ready "$1" "$2" "$3" 2>/dev/null || code=$?
exec 9>&-
flock -w 20 "$4" true && echo "free"
echo "$code"
"""


def asked(lock: str, port: int, path: str = "/readiness") -> int:
    """What `ready` says of a port, long before the two minutes after which the kernel gives a connection up."""
    done = subprocess.run(
        ["bash", "-c", ASK, "gate", "127.0.0.1", str(port), path, lock],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    free, code, left = done.stdout.split()
    assert (free, left) == ("free", "left"), "no question that was given up keeps the lock, and none ran the trap"
    return int(code)


@contextmanager
def answering(status: int, patience: float = 0) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(patience)
            self.send_response(status if self.path == "/readiness" else 404)
            self.end_headers()

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


def test_a_port_that_refuses_isn_t_waited_for(lock: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert asked(lock, port) == 1


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
