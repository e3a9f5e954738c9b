"""A service that is not FastAPI, for the lab's tests: the standard library alone, told by its environment to misbehave.

EXIT_AT_START: says why and ends. READY=never: alive, but never ready. EXIT_AFTER: seconds until it ends by itself.
FAILS: answers 500 to everything but readiness and metrics. SLOW: seconds that each such answer takes.
GREETING: what it answers, or GREETING_FILE: where that is written.
Run with the argument "worker" it serves nothing and ticks.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

GRACE = 10
SITE = ("service", "env", "release")
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, float("inf"))
state = {"serving": 0, "stopping": False}
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
                private = path in ("/readiness", "/metrics")
                if path.startswith("/slow"):
                    await asyncio.sleep(3)
                if not private and os.environ.get("SLOW"):
                    await asyncio.sleep(float(os.environ["SLOW"]))
                ready = path != "/readiness" or os.environ.get("READY") != "never"
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
                status = "500 Internal Server Error" if fails else "200 OK" if ready else "503 Service Unavailable"
                kind = "text/plain" if path == "/metrics" else "application/json"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(head.encode() + text)
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


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if os.environ.get("EXIT_AT_START"):
        say("the moon is in the wrong phase")
        sys.exit(3)
    if sys.argv[1:] == ["worker"]:
        say("worker up")
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), 0.2)
            except TimeoutError:
                say("tick")
        say("worker down")
        return
    server = await asyncio.start_server(answer, "0.0.0.0", int(os.environ["PORT"]))
    say("web up")
    try:
        await asyncio.wait_for(stop.wait(), float(os.environ.get("EXIT_AFTER", "1e9")))
    except TimeoutError:
        say("the stars are right")
        os._exit(4)
    state["stopping"] = True
    server.close()
    until = time.monotonic() + GRACE
    while state["serving"] and time.monotonic() < until:
        await asyncio.sleep(0.02)
    say("web down")
    os._exit(0)


asyncio.run(main())
