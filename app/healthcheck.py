"""The container's health check: `python -m app.healthcheck`. Standard library only, so that it is quick.

It asks /health, not /readiness: a container is unhealthy when restarting it could help. A database that
is away would otherwise mark every container at once, and tools that restart unhealthy containers would
add to the outage. Whether to send requests is the proxy's and the release gate's question, and they ask
/readiness themselves: `python -m app.healthcheck /readiness` does the same from inside the container.
`python -m app.healthcheck worker` looks for the worker role's heartbeat.
"""

from __future__ import annotations

import os
import socket
import sys

from app import heartbeat

TIMEOUT = 3.0


def main(arguments: list[str]) -> int:
    """Exit code 0 for healthy, 1 for unhealthy; what is wrong goes to stderr."""
    subject = arguments[0] if arguments else "/health"
    if subject == "worker":
        return _verdict(heartbeat.is_fresh(), "no heartbeat")
    try:
        status = _status_of(subject, port=int(os.environ.get("PORT") or 8000))
    except (OSError, ValueError) as error:
        return _verdict(False, f"{type(error).__name__}: {error}")
    return _verdict(status == 200, f"{subject} answered {status}")


def _status_of(path: str, *, port: int) -> int:
    # http.client would double the time this takes, for headers that nobody reads.
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while b"\r\n" not in answer and (received := connection.recv(1024)):
            answer += received
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def _verdict(healthy: bool, reason: str) -> int:
    if not healthy:
        print(reason, file=sys.stderr)
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
