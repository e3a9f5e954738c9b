"""Real signatures by the real cosign, in a real registry: what isn't ours is released nowhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from portside.tools import COSIGN, ensure_tool
from tests.lab.project import Project
from tests.lab.servers import Registry

pytestmark = pytest.mark.pipeline

REFUSED = 12
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def cosign() -> Path:
    return asyncio.run(ensure_tool(COSIGN, print))


@pytest.fixture
def ours(project: Project, registry: Registry, cosign: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose environment takes only what is signed with its key."""
    monkeypatch.setenv("PATH", f"{cosign.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COSIGN_TEST_PASSWORD", PASSWORD)
    project.environment |= {"registry": f"{registry.address}/signed", "require_signature": True}
    project.signing = {
        "public_key": "cosign.pub",
        "private_key": "env:COSIGN_TEST_KEY",
        "password": "env:COSIGN_TEST_PASSWORD",
        "transparency_log": False,
    }
    monkeypatch.setenv("COSIGN_TEST_KEY", new_key(cosign, project.root, "cosign"))
    return project


def new_key(cosign: Path, folder: Path, name: str) -> str:
    """A key pair as a user makes one; its public half stays in `folder`."""
    argv = [str(cosign), "generate-key-pair", "--output-key-prefix", name]
    subprocess.run(
        argv, cwd=folder, env={**os.environ, "COSIGN_PASSWORD": PASSWORD}, check=True, capture_output=True, timeout=60
    )
    private = folder / f"{name}.key"
    text = private.read_text()
    private.unlink()
    return text


def pushed(project: Project, version: str) -> str:
    reference: str = project.invoke("push", "--env", "lab", "--image", project.image(version), "--json").data["image"]
    return reference


def test_what_we_pushed_is_signed_and_released(ours: Project) -> None:
    finished = ours.invoke("push", "--env", "lab", "--image", ours.image("1"))
    assert "signed " in finished.all
    ours.deploy(image=pushed(ours, "1"))
    assert PASSWORD not in finished.all
    assert "PRIVATE KEY" not in finished.all


def test_what_nobody_signed_is_released_nowhere(ours: Project) -> None:
    signing, ours.signing = ours.signing, {}
    ours.environment["require_signature"] = False
    unsigned = pushed(ours, "unsigned")
    ours.signing, ours.environment["require_signature"] = signing, True
    refused = ours.deploy(image=unsigned, code=REFUSED)
    assert "nobody has signed this image" in refused.data["error"]
    assert ours.containers(ours.hosts[0]) == []


def test_another_s_signature_is_none(
    ours: Project, cosign: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reference = pushed(ours, "1")
    new_key(cosign, ours.root, "cosign")  # the project's public key is now another
    refused = ours.deploy(image=reference, code=REFUSED)
    assert "isn't signed by the key cosign.pub" in refused.data["error"]
    assert ours.containers(ours.hosts[0]) == []


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda patch: patch.setenv("COSIGN_TEST_PASSWORD", "wrong"), REFUSED, "could not be signed"),
        (lambda patch: patch.delenv("COSIGN_TEST_KEY"), 3, "COSIGN_TEST_KEY is not set"),
        (lambda patch: patch.setenv("PATH", without("cosign")), 10, "cosign is not installed"),
    ],
    ids=["wrong password", "no key", "no cosign"],
)
def test_a_push_that_can_t_be_signed_says_why(
    ours: Project,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
    code: int,
    said: str,
) -> None:
    image = ours.image("1")
    spoil(monkeypatch)
    failed = ours.invoke("push", "--env", "lab", "--image", image, code=code)
    assert said in failed.err
    assert "PRIVATE KEY" not in failed.all


def without(program: str) -> str:
    """PATH, but for the folders that hold `program`."""
    return os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / program).exists()
    )
