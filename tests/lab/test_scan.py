"""The scan gate end to end: what failed goes nowhere, what passed is known by its digest wherever it goes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from portside.config import Scan
from portside.scan.base import Subject
from portside.scan.trivy import Trivy
from tests.image_archive import SITE, write_image
from tests.lab.project import Project
from tests.lab.servers import Registry
from tests.trivy_database import STARLETTE, write_database

pytestmark = pytest.mark.pipeline

FAILED = 11


@pytest.fixture
def gated(project: Project, registry: Registry) -> Project:
    """A project with a registry, whose environment takes only what passed a scan, and a copy of a database."""
    project.environment |= {"registry": f"{registry.address}/gated", "require_scan": True}
    project.scan["db"] = write_database(project.root / "advisories")
    return project


def image_with(project: Project, package: str, version: str) -> str:
    """An image of the tiny service that also has this Python package, as far as anybody can tell."""
    metadata = project.root / "extra" / SITE / f"{package}-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\nLicense: MIT\n")
    with (project.root / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("COPY extra/ /\n")
    built: str = project.invoke("build", "--json").data["image"]
    return built


def accepted(days: int) -> list[dict[str, Any]]:
    """An ignore entry for the flaw, whose last day is so many days from now."""
    expires = (datetime.now(UTC) + timedelta(days=days)).date()
    return [{"id": STARLETTE.id, "reason": "no forms are parsed", "expires": str(expires), "package": "starlette"}]


def repositories(registry: Registry) -> list[str]:
    found: list[str] = httpx.get(f"{registry.url}/v2/_catalog", trust_env=False, timeout=10).json()["repositories"]
    return found


def test_what_failed_goes_nowhere_and_what_is_accepted_goes_until_its_day(gated: Project, registry: Registry) -> None:
    image = image_with(gated, "starlette", "0.37.2")
    host = gated.hosts[0]

    # Scanned: it fails, and the gate says why.
    scanned = gated.invoke("scan", "--env", "lab", "--image", image, code=FAILED)
    assert "HIGH CVE-2024-47874 in starlette 0.37.2, fixed in 0.40.0" in scanned.err
    assert "[[scan.ignore]]" in scanned.err
    data = gated.invoke("scan", "--env", "lab", "--image", image, "--json", code=FAILED).data
    (told,) = data["images"]
    assert [finding["id"] for finding in told["failures"]] == [STARLETTE.id]
    assert {"record.json", "report.txt", "trivy.json", "trivy.sarif", "sbom.cdx.json"} == {
        path.name for path in (gated.root / told["reports"]).iterdir()
    }

    # Neither pushed nor deployed; nothing is in the registry, nothing on the host.
    assert "is not pushed" in gated.invoke("push", "--env", "lab", "--image", image, code=FAILED).err
    assert "is not pushed" in gated.deploy(image=image, code=FAILED).out
    assert "gated" not in repositories(registry)
    assert gated.containers(host) == []

    # Accepted with a reason and a date: what was found is judged anew, without another scan.
    gated.scan["ignore"] = accepted(1)
    reference = gated.invoke("push", "--env", "lab", "--image", image, "--json").data["image"]
    gated.deploy(image=reference)
    release = gated.invoke("status", "--env", "lab", "--json").data["hosts"][host.name]["release"]
    beside = json.loads(gated.shell(host, "cat", gated.site(f"releases/{release}/scan.json")))
    assert beside["verdict"] == "passed"
    assert beside["accepted"][0]["reason"] == "no forms are parsed"
    assert reference.rpartition("@")[2] in beside["digests"]

    # Another machine, which never scanned: the record comes from the registry.
    shutil.rmtree(gated.root / ".portside/scans")
    gated.environment["env"] = {"GREETING": "hello again"}
    gated.deploy(image=reference)
    assert not (gated.root / ".portside/scans").exists()

    # The entry's day is over: what runs fails its nightly scan, and is released no more. Going back is never refused.
    gated.scan["ignore"] = accepted(-1)
    nightly = gated.invoke("scan", "--running", "--env", "lab", code=FAILED)
    assert "scan.ignore CVE-2024-47874 in starlette expired on" in nightly.err
    assert f"to {reference}" in nightly.out
    gated.environment["env"] = {"GREETING": "hello a third time"}
    refused = gated.deploy(image=reference, code=FAILED).data
    assert "expired" in refused["why"]
    assert "is not deployed" in refused["error"]
    back = gated.invoke("rollback", "--env", "lab", "--yes")
    assert "a rollback is not held up by that" in back.all


async def test_the_database_is_fetched_where_there_is_one_and_kept_while_it_is_new(
    registry: Registry, tmp_path: Path
) -> None:
    publish_database(registry, write_database(tmp_path / "advisories"))
    image = write_image(tmp_path / "image.tar", wheels={"starlette": "0.37.2"})
    subject = Subject("tiny:1", tmp_path / "image.tar", (image,))
    rules = Scan(secrets=False, misconfigurations=False, forbidden_licenses=())
    # The second time nobody would answer: what was fetched says itself how long it is good for.
    for address in (registry.address, "127.0.0.1:1"):
        environ = {**os.environ, "TRIVY_DB_REPOSITORY": f"{address}/trivy-db:2"}
        work = tmp_path / address.replace(":", "-")
        work.mkdir()
        report = await Trivy(tmp_path / "cache", environ=environ).scan(subject, rules, work)
        assert [finding.id for finding in report.findings] == [STARLETTE.id]
        assert report.run.advisories is not None
        assert datetime.now(UTC) - report.run.advisories < timedelta(minutes=10)


def publish_database(registry: Registry, folder: Path) -> None:
    """Put a database into a registry the way Trivy's own is published: one layer, a tar of the two files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("trivy.db", "metadata.json"):
            tar.add(folder / name, arcname=name)
    repository = f"{registry.url}/v2/trivy-db"
    with httpx.Client(trust_env=False, timeout=20) as client:

        def blob(content: bytes, media_type: str) -> dict[str, Any]:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            begun = client.post(f"{repository}/blobs/uploads/").raise_for_status()
            upload = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
            client.put(upload, content=content).raise_for_status()
            return {"mediaType": media_type, "digest": digest, "size": len(content)}

        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(b"{}", "application/vnd.aquasec.trivy.config.v1+json"),
            "layers": [blob(packed.getvalue(), "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip")],
        }
        manifest["layers"][0]["annotations"] = {"org.opencontainers.image.title": "db.tar.gz"}
        headers = {"content-type": str(manifest["mediaType"])}
        client.put(f"{repository}/manifests/2", content=json.dumps(manifest), headers=headers).raise_for_status()


def test_without_a_registry_an_image_is_known_by_its_id_here_and_on_the_host(gated: Project) -> None:
    gated.environment["registry"] = "none"
    image = image_with(gated, "starlette", "0.40.0")
    refused = gated.deploy(image=image, code=FAILED).data
    assert "no scan" in refused["error"]
    assert refused["remedy"] == f"Type: invoke scan --env lab --image {image}"
    assert gated.containers(gated.hosts[0]) == []
    assert "✓" in gated.invoke("scan", "--env", "lab", "--image", image).out
    gated.deploy(image=image)
    # Read back from the host, it is the same image: its record here is renewed, not another one made.
    running = gated.invoke("scan", "--running", "--env", "lab", "--json").data["images"]
    assert [(each["image"], each["verdict"]) for each in running] == [(image, "passed")]
    assert len([path for path in (gated.root / ".portside/scans").iterdir() if not path.is_symlink()]) == 1
