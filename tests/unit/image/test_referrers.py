"""Referrers in a registry that lists them and asks for a token: a stand-in on loopback, as Debian's does neither.

Against a real registry, without the interface, tests/lab/test_scan.py attaches and reads.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from portside.errors import BuildError
from portside.image.referrers import MANIFEST, attach, attached
from portside.image.registry import PASSWORD, USERNAME

KIND = "application/vnd.portside.scan.v1+json"
IMAGE = b'{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"


class StandIn(ThreadingHTTPServer):
    """A registry in memory with the image IMAGE in the repository `team/links`. `native`: it lists referrers itself."""

    def __init__(self, *, native: bool) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.native = native
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
            self.answer(*((200, self.listed(name)) if self.server.native else (404, b"")))
        elif "/manifests/" in path and name in self.server.manifests:
            kind, content = self.server.manifests[name]
            self.answer(200, content, {"content-type": kind})
        elif "/blobs/" in path and name in self.server.blobs:
            self.answer(200, self.server.blobs[name])
        else:
            self.answer(404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def do_POST(self) -> None:
        if self.headers["authorization"] != "Bearer a-token":
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


@pytest.fixture(params=[True, False], ids=["native", "by tag"])
def registry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv(USERNAME, "user")
    monkeypatch.setenv(PASSWORD, "password")
    with StandIn(native=request.param) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


async def test_what_is_attached_is_read_again_newest_first(registry: StandIn) -> None:
    subject = f"{registry.address}/team/links@{DIGEST}"
    for day in ("2026-11-22", "2026-11-24", "2026-11-23"):
        files = {"record.json": ("application/json", day.encode())}
        noted = {"org.opencontainers.image.created": day}
        await attach(subject, artifact_type=KIND, files=files, annotations=noted)
    await attach(subject, artifact_type="application/other", files={"x": ("text/plain", b"x")})
    found = await attached(subject, KIND)
    assert [await artifact.read("record.json") for artifact in found] == [b"2026-11-24", b"2026-11-23", b"2026-11-22"]
    with pytest.raises(BuildError, match="no file missing"):
        await found[0].read("missing")


async def test_an_image_with_nothing_attached_has_nothing(registry: StandIn) -> None:
    assert await attached(f"{registry.address}/team/links@{DIGEST}", KIND) == []


async def test_what_was_changed_on_the_way_is_refused(registry: StandIn) -> None:
    subject = f"{registry.address}/team/links@{DIGEST}"
    await attach(subject, artifact_type=KIND, files={"record.json": ("application/json", b"passed")})
    (artifact,) = await attached(subject, KIND)
    for digest, content in registry.blobs.items():
        if content == b"passed":
            registry.blobs[digest] = b"failed"
    with pytest.raises(BuildError, match="something else"):
        await artifact.read("record.json")


async def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(
    registry: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "canary-password")
    with pytest.raises(BuildError, match="refused") as caught:
        await attached(f"{registry.address}/team/links@{DIGEST}", KIND)
    assert USERNAME in caught.value.remedy
    assert "canary" not in str(caught.value)


async def test_an_image_that_is_not_there_takes_nothing(registry: StandIn) -> None:
    other = f"{registry.address}/team/links@sha256:{'0' * 64}"
    with pytest.raises(BuildError, match="failed"):
        await attach(other, artifact_type=KIND, files={})


@pytest.mark.parametrize("kept", ["in the file", "by a helper", "by nobody"])
async def test_docker_s_own_login_counts_wherever_docker_keeps_it(
    registry: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    for name in (USERNAME, PASSWORD):
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    helper = tmp_path / "docker-credential-standin"
    helper.write_text(
        f'#!/bin/sh\nread -r name\n[ "$name" = {registry.address} ] || exit 1\n'
        """echo '{"Username": "user", "Secret": "password"}'\n"""
    )
    helper.chmod(0o700)
    auth = {registry.address: {"auth": "dXNlcjpwYXNzd29yZA=="}}
    forms = {"in the file": {"auths": auth}, "by a helper": {"credsStore": "standin"}, "by nobody": {}}
    (tmp_path / "config.json").write_text(json.dumps(forms[kept]))
    subject = f"{registry.address}/team/links@{DIGEST}"
    if kept == "by nobody":
        with pytest.raises(BuildError, match="refused"):
            await attached(subject, KIND)
    else:
        assert await attached(subject, KIND) == []


async def test_a_registry_that_is_away_is_named() -> None:
    with pytest.raises(BuildError, match="can't be asked") as caught:
        await attached(f"127.0.0.1:1/team/links@{DIGEST}", KIND)
    assert caught.value.where == "127.0.0.1:1"


async def test_a_tag_takes_nothing() -> None:
    with pytest.raises(BuildError, match="named by its digest"):
        await attach("127.0.0.1:1/team/links:1", artifact_type=KIND, files={})
