"""The scan gate end to end: what failed goes nowhere, what passed is known by its digest wherever it goes."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.image_archive import SITE
from tests.lab.project import Project
from tests.lab.servers import Registry
from tests.trivy_database import STARLETTE, write_database

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
    gated.environment["env"] = {"GREETING": "hello a third time"}
    refused = gated.deploy(image=reference, code=FAILED).data
    assert "expired" in refused["why"]
    assert "is not deployed" in refused["error"]
    back = gated.invoke("rollback", "--env", "lab", "--yes")
    assert "a rollback is not held up by that" in back.all


def test_what_was_never_scanned_is_not_deployed_and_what_passed_is(gated: Project) -> None:
    image = image_with(gated, "starlette", "0.40.0")
    refused = gated.deploy(image=image, code=FAILED).data
    assert "no scan" in refused["error"]
    assert "invoke scan --env lab --image" in refused["remedy"]
    assert gated.containers(gated.hosts[0]) == []
    # Pushed it is by now, under its digest; scanned after that, the record is attached there.
    scanned = gated.invoke("scan", "--env", "lab", "--image", image)
    assert "✓" in scanned.out
    assert "attached the scan" in scanned.out
    gated.deploy(image=image)
    running = gated.invoke("scan", "--running", "--env", "lab", "--json").data
    assert [image["verdict"] for image in running["images"]] == ["passed"]
