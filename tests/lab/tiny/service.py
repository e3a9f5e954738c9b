"""A service that is not FastAPI, for the lab's tests: the standard library alone, told by its environment to misbehave.

EXIT_AT_START: says why and ends. READY=never: alive, but never ready. EXIT_AFTER: seconds until it ends by itself.
Run with the argument "worker" it serves nothing and ticks.
"""

import asyncio
import json
import os
import signal
import sys
import time

GRACE = 10
SITE = ("service", "env", "release")
state = {"serving": 0, "stopping": False}


def say(message: str) -> None:
    print(json.dumps({"message": message, "release": os.environ.get("APP_RELEASE")}), flush=True)


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
                if path.startswith("/slow"):
                    await asyncio.sleep(3)
                ready = path != "/readiness" or os.environ.get("READY") != "never"
                text = json.dumps(
                    {
                        "release": os.environ.get("APP_RELEASE"),
                        "method": method,
                        "got": len(body),
                        "greeting": os.environ.get("GREETING", ""),
                    }
                ).encode()
                if path == "/metrics":
                    labels = ",".join(f'{name}="{os.environ.get(f"APP_{name.upper()}")}"' for name in SITE)
                    text = f"# TYPE tiny_info gauge\ntiny_info{{{labels}}} 1\n".encode()
                status = "200 OK" if ready else "503 Service Unavailable"
                kind = "text/plain" if path == "/metrics" else "application/json"
                head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(head.encode() + text)
                await writer.drain()
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
