"""What a registry is told, and when: nothing while somebody only looks, the same image once, a digest as it is."""

from __future__ import annotations

import httpx

from tests.lab.project import Project
from tests.lab.servers import Registry


def tags(registry: Registry, name: str) -> list[str]:
    answer = httpx.get(f"{registry.url}/v2/{name}/tags/list", trust_env=False)
    return list(answer.json().get("tags") or []) if answer.is_success else []


def test_a_plan_and_a_dry_run_push_nothing_and_know_what_was_pushed(project: Project, registry: Registry) -> None:
    name = "acme/looked-at"
    image = project.image()
    project.environment["registry"] = f"{registry.address}/{name}"
    tag = image.rpartition(":")[2]
    planned = project.invoke("plan", "--env", "lab", "--json", "--image", image, code=2)
    assert f"{registry.address}/{name}:{tag}" in planned.all
    project.deploy("--dry-run", image=image)
    assert tags(registry, name) == []

    project.deploy(image=image)
    assert tags(registry, name) == [tag]
    assert project.invoke("plan", "--env", "lab", "--json", "--image", image).data["changes"] is False


def test_an_image_named_by_its_digest_is_pulled_also_where_others_are_sent(
    project: Project, registry: Registry
) -> None:
    project.environment["registry"] = f"{registry.address}/acme/by-digest"
    pushed = project.invoke("push", "--env", "lab", "--json", "--image", project.image("2")).data["image"]
    project.environment["registry"] = "none"
    released = project.deploy(image=pushed).data["release"]
    assert (
        project.invoke("status", "--env", "lab", "--json").data["hosts"][project.hosts[0].name]["release"] == released
    )
