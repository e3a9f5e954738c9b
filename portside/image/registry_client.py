"""A registry, asked over HTTP: the few requests that Docker has no command for.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md; logging in as
https://distribution.github.io/distribution/spec/auth/token/ and …/auth/oauth/ say.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from portside.command import run_command
from portside.errors import BuildError, CommandError
from portside.image.reference import DEFAULT_REGISTRY, Reference
from portside.image.registry import PASSWORD, USERNAME, docker_folder, who

ANSWER_SECONDS = 30.0
# What an image may be: OCI's kinds and Docker's.
KINDS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# Docker Hub's registry isn't at the name that images have.
HOSTS = {DEFAULT_REGISTRY: "registry-1.docker.io"}
# What Docker calls the user of a token that stands for a login (`az acr login`): it buys others at the token service.
TOKEN_USER = "<token>"  # noqa: S105 - a name
CLIENT = "portside"
_LOCAL = re.compile(r"(localhost|127(\.\d+){3})(:\d+)?")
_FIELD = re.compile(r'(\w+)="([^"]*)"')


@asynccontextmanager
async def opened(where: Reference, environ: Mapping[str, str] = os.environ) -> AsyncIterator[RegistryClient]:
    """The repository of `where`, for as long as the block lasts. What fails on the way is a BuildError."""
    # As Docker does: without TLS only where no network is between.
    scheme = "http" if _LOCAL.fullmatch(where.registry) else "https"
    address = f"{scheme}://{HOSTS.get(where.registry, where.registry)}"
    async with httpx.AsyncClient(base_url=address, timeout=ANSWER_SECONDS, follow_redirects=True) as http:
        try:
            yield RegistryClient(http, where, await credentials(where.registry, environ))
        except (httpx.HTTPError, httpx.InvalidURL, CommandError, ValueError, KeyError) as error:
            raise BuildError(
                "the registry can't be asked", where=where.registry, why=f"{type(error).__name__}: {error}"
            ) from None


async def credentials(registry: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password for `registry`: PORTSIDE_REGISTRY_USERNAME and _PASSWORD, else what `docker login` keeps.

    Docker keeps it in its config.json, or in the helper that is named there
    (https://docs.docker.com/reference/cli/docker/login/#credential-stores).
    """
    if environ.get(USERNAME) and environ.get(PASSWORD):
        return environ[USERNAME], environ[PASSWORD]
    try:
        kept = json.loads((docker_folder(environ) / "config.json").read_text())
    except (OSError, ValueError):
        return None
    name = "https://index.docker.io/v1/" if registry == DEFAULT_REGISTRY else registry
    helper = (kept.get("credHelpers") or {}).get(name) or kept.get("credsStore")
    if helper:
        return await _helped(helper, name)
    logins = kept.get("auths") or {}
    login = logins.get(name) or logins.get(f"https://{name}") or {}
    if login.get("identitytoken"):
        return TOKEN_USER, login["identitytoken"]
    user, _, password = base64.b64decode(login.get("auth") or "").decode().partition(":")
    return (user, password) if user and password else None


async def _helped(helper: str, name: str) -> tuple[str, str] | None:
    asked = await run_command([f"docker-credential-{helper}", "get"], timeout=ANSWER_SECONDS, stdin=name.encode())
    if asked.exit_code != 0:
        # It knows nothing of this registry: nobody logged in there.
        return None
    given = json.loads(asked.stdout)
    return given["Username"], given["Secret"]


class RegistryClient:
    """One repository. Each method is one question, asked again once when the registry wants a login."""

    def __init__(self, http: httpx.AsyncClient, where: Reference, login: tuple[str, str] | None) -> None:
        self._http = http
        self._where = where
        self._login = login
        self._base = f"/v2/{where.repository}"
        self._headers: dict[str, str] = {}

    @property
    def anonymous(self) -> bool:
        """Nobody is logged in."""
        return self._login is None

    async def descriptor(self, digest: str) -> dict[str, Any]:
        """Media type, digest and size of a manifest that is there."""
        answer = await self._ask("HEAD", f"{self._base}/manifests/{digest}", accept=KINDS)
        _insist(answer, self._where)
        size = int(answer.headers["content-length"])
        return {"mediaType": answer.headers["content-type"], "digest": digest, "size": size}

    async def manifest(self, digest: str) -> bytes:
        """A manifest's text, checked against its digest."""
        answer = await self._ask("GET", f"{self._base}/manifests/{digest}", accept=KINDS)
        return _checked(_insist(answer, self._where).content, digest, self._where)

    async def tagged(self, tag: str) -> bytes | None:
        """The text of the manifest that a tag names; None where there is no such tag."""
        answer = await self._ask("GET", f"{self._base}/manifests/{tag}", accept=KINDS)
        return None if answer.status_code == 404 else _insist(answer, self._where).content

    async def referrers(self, digest: str) -> bytes | None:
        """The index of what refers to a manifest; None where the registry has no such question."""
        answer = await self._ask("GET", f"{self._base}/referrers/{digest}", accept=KINDS)
        # 400 and 406 are what some say to a question that they don't know.
        return None if answer.status_code in (400, 404, 405, 406) else _insist(answer, self._where).content

    async def blob(self, digest: str) -> bytes:
        answer = await self._ask("GET", f"{self._base}/blobs/{digest}")
        return _checked(_insist(answer, self._where).content, digest, self._where)

    async def put_blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store `content`, unless it is there; its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if (await self._ask("HEAD", f"{self._base}/blobs/{digest}")).status_code != 200:
            begun = _insist(await self._ask("POST", f"{self._base}/blobs/uploads/"), self._where)
            place = begun.url.join(begun.headers["location"]).copy_merge_params({"digest": digest})
            _insist(await self._ask("PUT", str(place), content=content, kind="application/octet-stream"), self._where)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    async def put_manifest(self, name: str, content: bytes, media_type: str) -> bool:
        """Store a manifest under a digest or a tag; whether the registry lists it among its subject's referrers."""
        answer = await self._ask("PUT", f"{self._base}/manifests/{name}", content=content, kind=media_type)
        return "oci-subject" in _insist(answer, self._where).headers

    async def _ask(
        self, method: str, url: str, *, accept: tuple[str, ...] = (), content: bytes = b"", kind: str = ""
    ) -> httpx.Response:
        headers = {"accept": ", ".join(accept) or "*/*", **({"content-type": kind} if kind else {})}
        answer = await self._http.request(method, url, content=content, headers={**headers, **self._headers})
        if answer.status_code == 401 and await self._logged_in(answer.headers.get("www-authenticate", "")):
            answer = await self._http.request(method, url, content=content, headers={**headers, **self._headers})
        return answer

    async def _logged_in(self, challenge: str) -> bool:
        """Answer the registry's challenge: True when another try may do better."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login and not self._headers:
            plain = ":".join(self._login).encode()
            self._headers = {"authorization": f"Basic {base64.b64encode(plain).decode()}"}
            return True
        if scheme.lower() != "bearer":
            return False
        fields = dict(_FIELD.findall(rest))
        asked = {name: fields[name] for name in ("service", "scope") if name in fields}
        if self._login and self._login[0] == TOKEN_USER:
            asked |= {"grant_type": "refresh_token", "refresh_token": self._login[1], "client_id": CLIENT}
            answer = await self._http.post(fields["realm"], data=asked)
        else:
            answer = await self._http.get(fields["realm"], params=asked, auth=self._login or httpx.USE_CLIENT_DEFAULT)
        given = _insist(answer, self._where).json()
        self._headers = {"authorization": f"Bearer {given.get('token') or given['access_token']}"}
        return True


def _insist(answer: httpx.Response, where: Reference) -> httpx.Response:
    if answer.is_success:
        return answer
    refused = answer.status_code in (401, 403)
    raise BuildError(
        f"the registry {'refused' if refused else 'failed'}: {answer.request.method} {answer.request.url.path}",
        where=where.registry,
        why=f"{answer.status_code} {answer.reason_phrase} {answer.text[:300]}".strip(),
        remedy=f"{who(where)}, and what this user may do with {where.repository}." if refused else "",
    )


def _checked(content: bytes, digest: str, where: Reference) -> bytes:
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise BuildError(f"the registry gave something else than {digest}", where=where.registry)
    return content
