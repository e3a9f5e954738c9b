"""A tiny image as `docker save` writes it: no program in it, only what says which packages it has."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\n'
SITE = "opt/venv/lib/python3.13/site-packages"


def write_image(
    path: Path,
    *,
    wheels: Mapping[str, str] | None = None,
    debs: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    licenses: Mapping[str, str] | None = None,
    user: str = "65532",
) -> str:
    """Write the archive `path`; the digest of its configuration.

    `wheels` and `debs` are names to versions, `licenses` the licence expression of a wheel, `files` paths to texts.
    """
    whole = {"etc/os-release": OS_RELEASE, "etc/debian_version": "13.1\n", **(files or {})}
    for name, version in (wheels or {}).items():
        license = (licenses or {}).get(name, "MIT")
        whole[f"{SITE}/{name}-{version}.dist-info/METADATA"] = (
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {license}\n"
        )
    whole["var/lib/dpkg/status"] = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        for name, version in (debs or {}).items()
    )
    layer = _tar({name: text.encode() for name, text in whole.items()})
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"User": user, "Healthcheck": {"Test": ["CMD", "true"]}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [
                {"created_by": "COPY / / # buildkit"},
                {"created_by": f"USER {user}", "empty_layer": True},
                {"created_by": 'HEALTHCHECK CMD ["true"]', "empty_layer": True},
            ],
        }
    ).encode()
    digest = hashlib.sha256(configuration).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [f"tiny:{digest[:12]}"], "Layers": ["layer.tar"]}]
    content = {f"{digest}.json": configuration, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar(content))
    return f"sha256:{digest}"


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
