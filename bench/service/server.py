"""The benchmark's service: answers every request with 200, from as little of Python as that takes."""

import signal
import socket
import sys
import threading

PORT = 8000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def serve(connection: socket.socket) -> None:
    unread = b""
    with connection:
        while received := connection.recv(65536):
            *complete, unread = (unread + received).split(b"\r\n\r\n")
            connection.sendall(ANSWER * len(complete))


def health() -> None:
    with socket.create_connection(("127.0.0.1", PORT), timeout=3) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sys.exit(0 if connection.recv(64).startswith(b"HTTP/1.1 200") else 1)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.create_server(("0.0.0.0", PORT), backlog=128)  # noqa: S104 - inside a container
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    health() if sys.argv[1:] == ["health"] else main()
