"""A registry on loopback that lists referrers and asks for a token: a stand-in, as Debian's does neither."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from portside.image.referrers import MANIFEST

CONFIGURATION = f"sha256:{'c' * 64}"
IMAGE = json.dumps({"schemaVersion": 2, "config": {"digest": CONFIGURATION}}).encode()
DIGEST = f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
IDENTITY_TOKEN = "an-identity-token"


class StandIn(ThreadingHTTPServer):
    """A registry in memory with the image IMAGE in the repository `team/links`.

    `native`: it lists referrers itself; else it answers `refusal` to whoever asks for them.
    """

    def __init__(self, *, native: bool, refusal: int = 404) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.native, self.refusal = native, refusal
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {DIGEST: (MANIFEST, IMAGE)}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        path, name = urlsplit(self.path).path, self.path.rpartition("/")[2]
        if path == "/token":
            known = self.headers["authorization"] == "Basic dXNlcjpwYXNzd29yZA=="
            self.answer(200 if known else 401, b'{"token": "a-token"}')
        elif self.headers["authorization"] != "Bearer a-token":
            realm = f'Bearer realm="http://{self.server.address}/token",service="r",scope="repository:team/links:pull"'
            self.answer(401, headers={"www-authenticate": realm})
        elif "/referrers/" in path:
            self.answer(*((200, self.listed(name)) if self.server.native else (self.server.refusal, b"")))
        elif "/manifests/" in path and name in self.server.manifests:
            kind, content = self.server.manifests[name]
            self.answer(200, content, {"content-type": kind})
        elif "/blobs/" in path and name in self.server.blobs:
            self.answer(200, self.server.blobs[name])
        else:
            self.answer(404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def do_POST(self) -> None:
        if self.path == "/token":
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            known = (form["grant_type"], form["refresh_token"]) == (["refresh_token"], [IDENTITY_TOKEN])
            self.answer(200 if known else 401, b'{"access_token": "a-token"}')
        elif self.headers["authorization"] != "Bearer a-token":
            self.do_GET()
        else:
            self.answer(202, headers={"location": "/upload/1?state=x"})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        parts = urlsplit(self.path)
        if parts.path.startswith("/upload/"):
            assert parse_qs(parts.query)["state"] == ["x"]
            self.server.blobs[parse_qs(parts.query)["digest"][0]] = content
            self.answer(201)
            return
        self.server.manifests[parts.path.rpartition("/")[2]] = (self.headers["content-type"], content)
        listed = self.server.native and "subject" in json.loads(content)
        self.answer(201, headers={"oci-subject": DIGEST} if listed else {})

    def listed(self, digest: str) -> bytes:
        found = []
        for name, (kind, content) in self.server.manifests.items():
            manifest = json.loads(content)
            if manifest.get("subject", {}).get("digest") == digest:
                told = {field: manifest[field] for field in ("artifactType", "annotations")}
                found.append({"mediaType": kind, "digest": name, "size": len(content), **told})
        return json.dumps({"manifests": found}).encode()

    def answer(self, code: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


@contextlib.contextmanager
def running(server: StandIn) -> Iterator[StandIn]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)
