"""A service that is not FastAPI, for the lab's tests: the standard library alone, told by its environment to misbehave.

EXIT_AT_START: says why and ends. TELLS: begins with its whole environment, as a careless service does.
READY=never: alive, but never ready. EXIT_AFTER: seconds until it ends by itself, once somebody asks for its metrics: a
judge does when it serves, however long its start took.
FAILS: answers 500 to everything but readiness and metrics. SLOW: seconds that each such answer takes.
GREETING: what it answers, or GREETING_FILE: where that is written.
SIGHUP: alive, and not ready any more. SIGUSR1: takes memory until it is out of it. SIGUSR2: its readiness flaps, or no
longer does.
Paths: /slow (3 s, or /slow/SECONDS), /stream/SECONDS (a piece every tenth of one), /socket (a websocket that echoes).
Run with the argument "worker" it serves nothing and ticks; with "expects", a list as JSON in hexadecimal digits, and
arguments, it fails when they aren't those.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

GRACE = 10
READINESS = ("/readiness", "/ready")
SITE = ("service", "env", "release")
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf"))
state = {"serving": 0, "stopping": False, "flapping": False, "ready": True}
# Shorter than the proxy takes to believe that a container isn't ready.
FLAP_SECONDS = 0.4
# RFC 6455: what a key is answered with, and how a server says that it is going away.
WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOING_AWAY = b"\x88\x02\x03\xe9"
watched = asyncio.Event()
took: dict[int, list[float]] = {200: [], 500: []}


def metrics() -> str:
    """Prometheus' text format, with the names that the service of this repository has."""
    labels = ",".join(f'{name}="{os.environ.get(f"APP_{name.upper()}")}"' for name in SITE)
    lines = [
        "# TYPE tiny_info gauge",
        f"tiny_info{{{labels}}} 1",
        f"http_requests_in_flight{{{labels}}} {state['serving']}",
    ]
    for status, seconds in took.items():
        of = f'{labels},method="GET",handler="/",status="{status}"'
        lines.append(f"http_requests_total{{{of}}} {len(seconds)}")
        name = "http_request_duration_seconds"
        for edge in EDGES:
            within = sum(each <= edge for each in seconds)
            lines.append(f'{name}_bucket{{{of},le="{edge if edge < 99 else "+Inf"}"}} {within}')
        lines += [f"{name}_count{{{of}}} {len(seconds)}", f"{name}_sum{{{of}}} {sum(seconds)}"]
    return "\n".join(lines) + "\n"


def greeting() -> str:
    file = os.environ.get("GREETING_FILE")
    if file:
        return Path(file).read_text()
    return os.environ.get("GREETING", "")


def say(message: str, level: str = "info") -> None:
    print(json.dumps({"level": level, "message": message, "release": os.environ.get("APP_RELEASE")}), flush=True)


def ready() -> bool:
    if state["flapping"] and int(time.monotonic() / FLAP_SECONDS) % 2:
        return False
    return bool(state["ready"]) and os.environ.get("READY") != "never"


def unready() -> None:
    state["ready"] = False


def flap() -> None:
    state["flapping"] = not state["flapping"]


def eat() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * 2**24)


def seconds_in(path: str) -> float:
    """The number at the end of a path, else 3."""
    number = path.rpartition("/")[2]
    return float(number) if number[:1].isdigit() else 3.0


async def stream(writer: asyncio.StreamWriter, seconds: float) -> None:
    """A piece every tenth of a second, each with its own length."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(int(seconds * 10)):
        writer.write(b"5\r\npiece\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
    """Echo short messages until the other side says goodbye, or this one stops and says so."""
    (key,) = re.findall(r"(?im)^sec-websocket-key: *(\S+)", head)
    accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET).digest())  # noqa: S324 - what the RFC says
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        message = asyncio.ensure_future(frame(reader))
        while not message.done():
            await asyncio.wait([message], timeout=0.1)
            if state["stopping"]:
                break
        if not message.done():
            message.cancel()
            writer.write(GOING_AWAY)
            await writer.drain()
            # The other side answers with its own goodbye, and hangs up.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), 1)
            return
        kind, payload = await message
        writer.write(bytes([0x80 | kind, len(payload)]) + payload)
        await writer.drain()
        if kind == 8:
            return


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Kind and payload of a client's frame of at most 125 bytes."""
    first, second = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(second & 0x7F)
    return first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while not state["stopping"]:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            state["serving"] += 1
            try:
                method, path, _ = head.split(" ", 2)
                lengths = [
                    line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")
                ]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                began = time.monotonic()
                private = path in (*READINESS, "/metrics")
                if path.startswith("/slow"):
                    await asyncio.sleep(seconds_in(path))
                if path.startswith("/stream"):
                    await stream(writer, seconds_in(path))
                    continue
                if path == "/socket":
                    await converse(reader, writer, head)
                    return
                if not private and os.environ.get("SLOW"):
                    await asyncio.sleep(float(os.environ["SLOW"]))
                fit = path not in READINESS or ready()
                fails = not private and bool(os.environ.get("FAILS"))
                text = json.dumps(
                    {
                        "release": os.environ.get("APP_RELEASE"),
                        "method": method,
                        "got": len(body),
                        "greeting": greeting(),
                    }
                ).encode()
                if path == "/metrics":
                    text = metrics().encode()
                    watched.set()
                status = "500 Internal Server Error" if fails else "200 OK" if fit else "503 Service Unavailable"
                kind = "text/plain" if path == "/metrics" else "application/json"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(head.encode() + (b"" if method == "HEAD" else text))
                await writer.drain()
                if fails:
                    say("nothing works today", "error")
                if not private:
                    took[500 if fails else 200].append(time.monotonic() - began)
            finally:
                state["serving"] -= 1
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def die() -> None:
    await watched.wait()
    await asyncio.sleep(float(os.environ["EXIT_AFTER"]))
    say("the stars are right")
    os._exit(4)


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if os.environ.get("TELLS"):
        say(f"settings {dict(os.environ)}")
        print("\n".join(f"{name}={value}" for name, value in os.environ.items()), flush=True)
    if os.environ.get("EXIT_AT_START"):
        say("the moon is in the wrong phase")
        sys.exit(3)
    if sys.argv[1:2] == ["expects"]:
        sys.exit(json.loads(bytes.fromhex(sys.argv[2])) != sys.argv[3:])
    if sys.argv[1:] == ["worker"]:
        say("worker up")
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), 0.2)
            except TimeoutError:
                say("tick")
        say("worker down")
        return
    for number, act in ((signal.SIGHUP, unready), (signal.SIGUSR1, eat), (signal.SIGUSR2, flap)):
        asyncio.get_running_loop().add_signal_handler(number, act)
    server = await asyncio.start_server(answer, "0.0.0.0", int(os.environ["PORT"]))
    say("web up")
    dying = asyncio.ensure_future(die()) if os.environ.get("EXIT_AFTER") else None
    await stop.wait()
    if dying:
        dying.cancel()
    state["stopping"] = True
    server.close()
    until = time.monotonic() + GRACE
    while state["serving"] and time.monotonic() < until:
        await asyncio.sleep(0.02)
    say("web down")
    os._exit(0)


asyncio.run(main())
